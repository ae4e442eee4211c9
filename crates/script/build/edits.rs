//! Our changes to Lua's sources, each with why.

/// A change of one place: `anchor` stands in `file` exactly once, or the build fails.
pub struct Edit {
    pub file: &'static str,
    pub anchor: &'static str,
    pub with: &'static str,
}

const fn edit(file: &'static str, anchor: &'static str, with: &'static str) -> Edit {
    Edit { file, anchor, with }
}

/// Sources that include nothing of ours by themselves, but are edited to call it.
pub const USERS: &[&str] = &[
    "lapi.c",
    "lbaselib.c",
    "ldebug.c",
    "lgc.c",
    "lstrlib.c",
    "ltablib.c",
    "lvm.c",
];

pub const EDITS: &[Edit] = &[
    // Tables that scripts may not change: the globals, the libraries, the metatable of strings.
    edit(
        "lobject.h",
        "  lu_byte lsizenode;  /* log2 of size of `node' array */\n",
        "  lu_byte lsizenode;  /* log2 of size of `node' array */\n  lu_byte readonly;\n",
    ),
    edit(
        "ltable.c",
        "  t->metatable = NULL;\n  t->flags = cast_byte(~0);\n",
        "  t->metatable = NULL;\n  t->flags = cast_byte(~0);\n  t->readonly = 0;\n",
    ),
    edit(
        "lvm.c",
        "      TValue *oldval = luaH_set(L, h, key); /* do a primitive set */\n",
        "      TValue *oldval;\n      if (h->readonly) luaG_runerror(L, \"Attempt to modify a readonly table\");\n      oldval = luaH_set(L, h, key);\n",
    ),
    edit(
        "lapi.c",
        "  setobj2t(L, luaH_set(L, hvalue(t), L->top-2), L->top-1);\n",
        "  if (hvalue(t)->readonly) luaG_runerror(L, \"Attempt to modify a readonly table\");\n  setobj2t(L, luaH_set(L, hvalue(t), L->top-2), L->top-1);\n",
    ),
    edit(
        "lapi.c",
        "  setobj2t(L, luaH_setnum(L, hvalue(o), n), L->top-1);\n",
        "  if (hvalue(o)->readonly) luaG_runerror(L, \"Attempt to modify a readonly table\");\n  setobj2t(L, luaH_setnum(L, hvalue(o), n), L->top-1);\n",
    ),
    edit(
        "lapi.c",
        "    case LUA_TTABLE: {\n      hvalue(obj)->metatable = mt;\n",
        "    case LUA_TTABLE: {\n      if (hvalue(obj)->readonly) luaG_runerror(L, \"Attempt to modify a readonly table\");\n      hvalue(obj)->metatable = mt;\n",
    ),
    // The number of results was computed in an int that could overflow.
    edit(
        "lbaselib.c",
        "  n = e - i + 1;  /* number of elements */\n  if (n <= 0 || !lua_checkstack(L, n))  /* n <= 0 means arith. overflow */\n",
        "  if ((long long)e - i >= LUAI_MAXCSTACK || !lua_checkstack(L, n = e - i + 1))\n",
    ),
    // Nothing that catches errors holds a script that is being ended.
    edit(
        "lbaselib.c",
        "  status = lua_pcall(L, 0, LUA_MULTRET, 1);\n",
        "  status = lua_pcall(L, 0, LUA_MULTRET, 1);\n  if (status != 0) shoal_caught(L);\n",
    ),
    edit(
        "lbaselib.c",
        "    lua_xmove(co, L, 1);  /* move error message */\n",
        "    lua_xmove(co, L, 1);  /* move error message */\n    shoal_caught(L);\n",
    ),
    // Instructions of a coroutine count for the script as a whole.
    edit(
        "lbaselib.c",
        "  status = lua_resume(co, narg);\n",
        "  co->hookcount = L->hookcount;\n  status = lua_resume(co, narg);\n  L->hookcount = co->hookcount;\n",
    ),
    edit(
        "lbaselib.c",
        "static int load_aux (lua_State *L, int status) {\n",
        "static int load_aux (lua_State *L, int status) {\n  if (status != 0) shoal_caught(L);\n",
    ),
    // Scripts run on threads of their own, and are to see nothing of that.
    edit(
        "lbaselib.c",
        "  if (lua_pushthread(L))\n",
        "  if (lua_pushthread(L) || L == shoal_of(L)->thread)\n",
    ),
    edit(
        "ldebug.c",
        "  if (L->errfunc != 0) {  /* is there an error handling function? */\n",
        "  if (L->errfunc != 0 && !shoal_of(L)->ending) {\n",
    ),
    // Bytecode is not verified in Lua 5.1: whoever loads it can do anything.
    edit(
        "ldo.c",
        "  tf = ((c == LUA_SIGNATURE[0]) ? luaU_undump : luaY_parser)(L, p->z,\n                                                             &p->buff, p->name);\n",
        "  (void)c;\n  tf = luaY_parser(L, p->z, &p->buff, p->name);\n",
    ),
    // The chunk's name could be collected while the chunk was parsed.
    edit(
        "lparser.c",
        "  luaX_setinput(L, &lexstate, z, luaS_new(L, name));\n",
        "  TString *source = luaS_new(L, name);\n  setsvalue2s(L, L->top, source);\n  incr_top(L);\n  luaX_setinput(L, &lexstate, z, source);\n",
    ),
    edit(
        "lparser.c",
        "  lua_assert(lexstate.fs == NULL);\n  return funcstate.f;\n",
        "  L->top--;\n  return funcstate.f;\n",
    ),
    // The length of a long bracket was counted in an int.
    edit(
        "llex.c",
        "static int skip_sep (LexState *ls) {\n  int count = 0;\n",
        "static ptrdiff_t skip_sep (LexState *ls) {\n  ptrdiff_t count = 0;\n",
    ),
    edit(
        "llex.c",
        "static void read_long_string (LexState *ls, SemInfo *seminfo, int sep) {\n",
        "static void read_long_string (LexState *ls, SemInfo *seminfo, ptrdiff_t sep) {\n",
    ),
    edit(
        "llex.c",
        "          int sep = skip_sep(ls);\n          luaZ_resetbuffer",
        "          ptrdiff_t sep = skip_sep(ls);\n          luaZ_resetbuffer",
    ),
    edit(
        "llex.c",
        "        int sep = skip_sep(ls);\n        if",
        "        ptrdiff_t sep = skip_sep(ls);\n        if",
    ),
    // Memory: collect before refusing, and do not wait with that until the limit has been passed.
    edit(
        "lgc.c",
        "#define setthreshold(g)  (g->GCthreshold = (g->estimate/100) * g->gcpause)\n",
        "#define setthreshold(g)  (g->GCthreshold = (g->estimate/100) * g->gcpause, \\\n  g->GCthreshold > ((shoal *)g->ud)->pressure \\\n    ? (void)(g->GCthreshold = ((shoal *)g->ud)->pressure) : (void)0)\n",
    ),
    edit(
        "lgc.c",
        "  l_mem lim = (GCSTEPSIZE/100) * g->gcstepmul;\n  if (lim == 0)\n",
        "  l_mem lim = (GCSTEPSIZE/100) * g->gcstepmul;\n  if (shoal_collect(L)) return;\n  if (lim == 0)\n",
    ),
    edit(
        "lvm.c",
        "      buffer = luaZ_openspace(L, &G(L)->buff, tl);\n",
        "      shoal_room(L, tl);\n      buffer = luaZ_openspace(L, &G(L)->buff, tl);\n",
    ),
    edit(
        "lapi.c",
        "  luaC_checkGC(L);\n  setsvalue2s(L, L->top, luaS_newlstr(L, s, len));\n",
        "  luaC_checkGC(L);\n  shoal_room(L, len);\n  setsvalue2s(L, L->top, luaS_newlstr(L, s, len));\n",
    ),
    // Patterns: a bound to the recursion, and a count of steps, since hooks do not see them.
    edit(
        "lstrlib.c",
        "  lua_State *L;\n  int level;  /* total number of captures (finished or unfinished) */\n",
        "  lua_State *L;\n  int depth;\n  int level;  /* total number of captures (finished or unfinished) */\n",
    ),
    edit(
        "lstrlib.c",
        "static const char *match (MatchState *ms, const char *s, const char *p) {\n  init:",
        "#define SHOAL_DEPTH_MAX 200\nstatic const char *match_here (MatchState *ms, const char *s, const char *p);\nstatic const char *match (MatchState *ms, const char *s, const char *p) {\n  if (++ms->depth > SHOAL_DEPTH_MAX) luaL_error(ms->L, \"pattern too complex\");\n  shoal_step(ms->L);\n  s = match_here(ms, s, p);\n  ms->depth--;\n  return s;\n}\nstatic const char *match_here (MatchState *ms, const char *s, const char *p) {\n  init:",
    ),
    edit(
        "lstrlib.c",
        "    while (++s < ms->src_end) {\n      if (*s == e) {\n",
        "    while (++s < ms->src_end) {\n      shoal_step(ms->L);\n      if (*s == e) {\n",
    ),
    edit(
        "lstrlib.c",
        "    ms.L = L;\n    ms.src_init = s;\n    ms.src_end = s+l1;\n",
        "    ms.L = L;\n    ms.depth = 0;\n    ms.src_init = s;\n    ms.src_end = s+l1;\n",
    ),
    edit(
        "lstrlib.c",
        "  ms.L = L;\n  ms.src_init = s;\n  ms.src_end = s+ls;\n",
        "  ms.L = L;\n  ms.depth = 0;\n  ms.src_init = s;\n  ms.src_end = s+ls;\n",
    ),
    edit(
        "lstrlib.c",
        "  ms.L = L;\n  ms.src_init = src;\n",
        "  ms.L = L;\n  ms.depth = 0;\n  ms.src_init = src;\n",
    ),
    // A plain search took time that grows with the product of both lengths.
    edit(
        "lstrlib.c",
        "    const char *s2 = lmemfind(s+init, l1-init, p, l2);\n",
        "    const char *s2 = shoal_find(s+init, l1-init, p, l2);\n",
    ),
    // Other loops in C that a script can make as long as it likes.
    edit(
        "lstrlib.c",
        "  while (n-- > 0)\n    luaL_addlstring(&b, s, l);\n",
        "  if (n > 0 && l > shoal_of(L)->ceiling / (size_t)n) return luaL_error(L, \"resulting string too large\");\n  while (n-- > 0 && l > 0) {\n    shoal_step(L);\n    luaL_addlstring(&b, s, l);\n  }\n",
    ),
    edit(
        "lvm.c",
        "        int n = cast_int(ci->base - ci->func) - cl->p->numparams - 1;\n",
        "        int n = cast_int(ci->base - ci->func) - cl->p->numparams - 1;\n        if (n > 64 && L->hookcount > n / 8) L->hookcount -= n / 8 - 1;\n",
    ),
    edit(
        "ltablib.c",
        "static int sort_comp (lua_State *L, int a, int b) {\n",
        "static int sort_comp (lua_State *L, int a, int b) {\n  shoal_step(L);\n",
    ),
    edit(
        "ltablib.c",
        "      for (i = e; i > pos; i--) {  /* move up elements */\n",
        "      for (i = e; i > pos; i--) {  /* move up elements */\n        shoal_step(L);\n",
    ),
    edit(
        "ltablib.c",
        "  for ( ;pos<e; pos++) {\n",
        "  for ( ;pos<e; pos++) {\n    shoal_step(L);\n",
    ),
];
