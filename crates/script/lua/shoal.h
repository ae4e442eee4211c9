/* What the engine's C sources know of the server around them. */
#ifndef shoal_h
#define shoal_h

#include <stddef.h>
#include "lua.h"
#include "lobject.h"
#include "lstate.h"

/* One per virtual machine, behind the allocator's user data. Rust has the same structure
   (src/ffi.rs: Control). */
typedef struct shoal {
  size_t used;     /* bytes given out by the allocator */
  size_t limit;    /* bytes that may be in use after a full collection */
  size_t ceiling;  /* bytes that may be in use at any time */
  size_t pressure; /* bytes in use at which a full collection is due */
  ptrdiff_t work;  /* what loops in C may still do before the next tick */
  int slice;       /* instructions, or steps of such loops, between two ticks */
  int lenient;     /* Rust is at work on the state: allocations never fail */
  int ending;      /* the running script is being ended: no pcall holds the error */
  int argument;    /* the argument that an error is about */
  lua_State *thread; /* the thread on which the running script began */
  TString *keys;   /* "KEYS" */
  TString *argv;   /* "ARGV" */
  void *host;
} shoal;

/* How a function written in Rust ends, if not with a count of results. */
enum {
  SHOAL_VALUE = -1,    /* raises what is on the top of the stack */
  SHOAL_LOCATED = -2,  /* the same, a string, with the place in the script before it */
  SHOAL_ARGUMENT = -3, /* a string: what is wrong with argument `argument` */
  SHOAL_TYPE = -4,     /* a string: the type that argument `argument` should have */
  SHOAL_MEMORY = -5,
  SHOAL_END = -6
};

#define shoal_of(L) ((shoal *)G(L)->ud)

int shoal_tick(lua_State *L);
void shoal_caught(lua_State *L);
int shoal_collect(lua_State *L);
void shoal_room(lua_State *L, size_t size);
const char *shoal_find(const char *s, size_t n, const char *what, size_t m);

/* Counts a step of a loop in C, which the count hook does not see. */
#define shoal_step(L) \
  do { shoal *control_ = shoal_of(L); if (--control_->work < 0) shoal_tick(L); } while (0)

#endif
