/* The engine's border: everything that raises Lua errors on behalf of Rust.

   lua_error jumps over the frames between it and the pcall that catches it, and a frame of Rust
   must not be jumped over. So functions written in Rust never raise. They answer how they want to
   end, shoal_enter below raises when they have returned, and while they run the allocator refuses
   nothing, so that no call of theirs into the engine raises for want of memory. */
#define _GNU_SOURCE
#include <string.h>
#include <time.h>

#include "lua.h"
#include "lauxlib.h"
#include "lualib.h"
#include "lobject.h"
#include "lstate.h"
#include "ldo.h"
#include "lgc.h"
#include "lstring.h"
#include "ltable.h"
#include "shoal.h"

/* Written in Rust. */
extern int shoal_native(lua_State *L, void *function, void *host);
extern int shoal_host_tick(lua_State *L, void *host);

struct bytes {
  const char *start;
  size_t length;
};

static int end(lua_State *L) {
  shoal_of(L)->ending = 1;
  lua_pushlightuserdata(L, shoal_of(L));
  return lua_error(L);
}

/* The script has used up a slice. */
int shoal_tick(lua_State *L) {
  shoal *s = shoal_of(L);
  s->work = s->slice;
  if (s->ending || shoal_host_tick(L, s->host)) end(L);
  return 0;
}

void shoal_hook(lua_State *L, lua_Debug *ar) {
  (void)ar;
  shoal_tick(L);
}

/* Somebody has caught an error, which is on the top of the stack. */
void shoal_caught(lua_State *L) {
  if (shoal_of(L)->ending) lua_error(L);
}

/* A full collection, if so much is in use that it is due. Called where the engine would take a step
   of its collector. */
int shoal_collect(lua_State *L) {
  global_State *g = G(L);
  shoal *s = shoal_of(L);
  size_t room;
  if (g->totalbytes < s->pressure) return 0;
  luaC_fullgc(L);
  room = s->limit > g->totalbytes ? (s->limit - g->totalbytes) / 2 : 0;
  s->pressure = g->totalbytes + room;
  if (s->pressure < s->limit / 4 * 3) s->pressure = s->limit / 4 * 3;
  if (s->pressure < g->totalbytes + s->limit / 16) s->pressure = g->totalbytes + s->limit / 16;
  if (g->totalbytes > s->limit && !s->lenient) {
    /* Whatever takes the script's place collects what it leaves. */
    s->pressure = s->limit / 4 * 3;
    luaD_throw(L, LUA_ERRMEM);
  }
  return 1;
}

/* Before a string of this size is made, where the collector may run. */
void shoal_room(lua_State *L, size_t size) {
  shoal *s = shoal_of(L);
  if (size < s->limit / 64 || s->used + 2 * size < s->limit) return;
  s->pressure = 0;
  shoal_collect(L);
}

const char *shoal_find(const char *s, size_t n, const char *what, size_t m) {
  return m == 0 ? s : memmem(s, n, what, m);
}

int shoal_enter(lua_State *L) {
  shoal *s = shoal_of(L);
  int lenient = s->lenient;
  char text[256] = "";
  int n;
  s->lenient = 1;
  n = shoal_native(L, lua_touserdata(L, lua_upvalueindex(1)), s->host);
  s->lenient = lenient;
  if (n == SHOAL_END) return end(L);
  if (s->used > s->limit) {
    s->pressure = 0;
    shoal_collect(L);
  }
  if (n >= 0) return n;
  switch (n) {
    case SHOAL_LOCATED:
      luaL_where(L, 1);
      lua_insert(L, -2);
      lua_concat(L, 2);
      return lua_error(L);
    case SHOAL_ARGUMENT:
    case SHOAL_TYPE:
      /* Off the stack, where it would be taken for an argument. */
      strncpy(text, lua_tostring(L, -1), sizeof(text) - 1);
      lua_pop(L, 1);
      if (n == SHOAL_TYPE) return luaL_typerror(L, s->argument, text);
      return luaL_argerror(L, s->argument, text);
    case SHOAL_MEMORY:
      luaD_throw(L, LUA_ERRMEM);
      return 0;
    default:
      return lua_error(L);
  }
}

void shoal_set_readonly(lua_State *L, int index, int on) {
  Table *t = (Table *)lua_topointer(L, index);
  t->readonly = (lu_byte)on;
}

int shoal_is_readonly(lua_State *L, int index) {
  return ((const Table *)lua_topointer(L, index))->readonly;
}

/* Makes the two lists at the bottom of the thread's stack the globals KEYS and ARGV. The thread may
   be in a function of its own, to which the bottom has no index. */
void shoal_show(lua_State *L) {
  StkId bottom = L->base_ci->base;
  Table *globals = hvalue(gt(L));
  setobj2t(L, luaH_setstr(L, globals, shoal_of(L)->keys), bottom);
  setobj2t(L, luaH_setstr(L, globals, shoal_of(L)->argv), bottom + 1);
  luaC_barriert(L, globals, bottom);
  luaC_barriert(L, globals, bottom + 1);
}

/* The strings on the running function's stack, up to the first value that is none; how many. */
int shoal_strings(lua_State *L, struct bytes *to, int max) {
  StkId value = L->base;
  int n = 0;
  for (; value < L->top && n < max && ttisstring(value); value++, n++) {
    to[n].start = svalue(value);
    to[n].length = tsvalue(value)->len;
  }
  return n;
}

/* Where the script is: the line, and the source in `source`; -1 if no code of a script runs. From
   the function at `level` on, functions in C do not count. */
int shoal_line(lua_State *L, int level, char *source, size_t size) {
  lua_Debug ar;
  if (!lua_getstack(L, level, &ar)) return -1;
  lua_getinfo(L, "Sl", &ar);
  if (*ar.what == 'C') {
    if (!lua_getstack(L, level + 1, &ar)) return -1;
    lua_getinfo(L, "Sl", &ar);
  }
  strncpy(source, ar.source, size - 1);
  source[size - 1] = '\0';
  return ar.currentline;
}

static void text_of(lua_State *L, int index) {
  if (luaL_callmeta(L, index, "__tostring")) {
    if (lua_isstring(L, -1)) return;
    lua_pop(L, 1);
  }
  switch (lua_type(L, index)) {
    case LUA_TSTRING:
    case LUA_TNUMBER: lua_pushvalue(L, index); break;
    case LUA_TNIL: lua_pushliteral(L, "nil"); break;
    case LUA_TBOOLEAN: lua_pushstring(L, lua_toboolean(L, index) ? "true" : "false"); break;
    default:
      lua_pushfstring(L, "%s: %p", luaL_typename(L, index), lua_topointer(L, index));
  }
}

/* The error handler of all scripts: makes a table of what was raised, and writes down where. */
int shoal_handler(lua_State *L) {
  lua_Debug ar;
  int known;
  lua_settop(L, 1);
  if (!lua_istable(L, 1)) {
    lua_newtable(L);
    lua_pushliteral(L, "ERR ");
    text_of(L, 1);
    lua_concat(L, 2);
    lua_setfield(L, -2, "err");
  } else if (shoal_is_readonly(L, 1)) {
    lua_newtable(L);
    lua_pushliteral(L, "ERR Attempt to modify a readonly table");
    lua_setfield(L, -2, "err");
  }
  known = lua_getstack(L, 1, &ar);
  if (known) {
    lua_getinfo(L, "Sl", &ar);
    if (*ar.what == 'C' && (known = lua_getstack(L, 2, &ar))) lua_getinfo(L, "Sl", &ar);
  }
  if (known) {
    lua_pushliteral(L, "source");
    lua_pushstring(L, ar.source);
    lua_rawset(L, -3);
    lua_pushliteral(L, "line");
    lua_pushinteger(L, ar.currentline);
    lua_rawset(L, -3);
  }
  return 1;
}

/* pcall answers an error table's text, as scripts expect that were written for Redis 6. */
static int protected_call(lua_State *L) {
  int status;
  if (lua_gettop(L) == 0) lua_pushboolean(L, 1);
  status = lua_pcall(L, lua_gettop(L) - 1, LUA_MULTRET, 0);
  if (status != 0) {
    shoal_caught(L);
    if (lua_istable(L, -1)) {
      lua_getfield(L, -1, "err");
      if (lua_isstring(L, -1)) lua_replace(L, -2);
      else lua_pop(L, 1);
    }
  }
  lua_pushboolean(L, status == 0);
  lua_insert(L, 1);
  return lua_gettop(L);
}

/* Scripts may look at the collector and run it, but not stop it for those after them. */
static int collect_garbage(lua_State *L) {
  static const char *const options[] = {"collect", "count", "step", "stop", "restart", "setpause",
                                        "setstepmul", NULL};
  int option = luaL_checkoption(L, 1, "collect", options);
  int argument = luaL_optint(L, 2, 0);
  switch (option) {
    case 0:
      lua_pushnumber(L, lua_gc(L, LUA_GCCOLLECT, 0));
      return 1;
    case 1:
      lua_pushnumber(L, lua_gc(L, LUA_GCCOUNT, 0) + (lua_Number)lua_gc(L, LUA_GCCOUNTB, 0) / 1024);
      return 1;
    case 2:
      lua_pushboolean(L, lua_gc(L, LUA_GCSTEP, argument > 0 && argument < 1024 ? argument : 1));
      return 1;
    case 5:
    case 6:
      lua_pushnumber(L, 200);
      return 1;
    default:
      lua_pushnumber(L, 0);
      return 1;
  }
}

static int os_clock(lua_State *L) {
  lua_pushnumber(L, (lua_Number)clock() / (lua_Number)CLOCKS_PER_SEC);
  return 1;
}

/* Runs protected: the libraries of Lua that scripts have. */
int shoal_open(lua_State *L) {
  static const luaL_Reg libraries[] = {{"", luaopen_base},
                                       {LUA_TABLIBNAME, luaopen_table},
                                       {LUA_STRLIBNAME, luaopen_string},
                                       {LUA_MATHLIBNAME, luaopen_math},
                                       {NULL, NULL}};
  static const char *const removed[] = {"dofile",  "loadfile", "print", "newproxy",
                                        "getfenv", "setfenv",  NULL};
  int i;
  shoal_of(L)->keys = luaS_newliteral(L, "KEYS");
  luaS_fix(shoal_of(L)->keys);
  shoal_of(L)->argv = luaS_newliteral(L, "ARGV");
  luaS_fix(shoal_of(L)->argv);
  for (i = 0; libraries[i].func != NULL; i++) {
    lua_pushcfunction(L, libraries[i].func);
    lua_pushstring(L, libraries[i].name);
    lua_call(L, 1, 0);
  }
  for (i = 0; removed[i] != NULL; i++) {
    lua_pushnil(L);
    lua_setglobal(L, removed[i]);
  }
  lua_newtable(L);
  lua_pushcfunction(L, os_clock);
  lua_setfield(L, -2, "clock");
  lua_setglobal(L, "os");
  lua_register(L, "pcall", protected_call);
  lua_register(L, "collectgarbage", collect_garbage);
  lua_register(L, "__redis__err__handler", shoal_handler);
  return 0;
}
