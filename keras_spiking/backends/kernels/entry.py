"""What the C code that a framework calls needs to run kernels.

A framework knows one entry: the custom call target of XLA, the operator of
TensorFlow. It finds a kernel by its number in a table, so that no address gets into
what a framework may keep on disk and load in another process. It cuts a call into
parts; how threads come to take them is up to the framework.
"""

import ctypes
import threading

from keras_spiking.backends.kernels.host import BLOCK_SIZE

# `ctypes` lets other threads of Python run during a call.
_registering = threading.Lock()

TABLE_SOURCE = r"""
#include <stdatomic.h>
#include <stdint.h>

typedef long long INDEX;

#define SLOTS 65536
static _Atomic uint64_t numbers[SLOTS];
static void *kernels[SLOTS];

static long slot_of(uint64_t number) {
    long slot = number % SLOTS;
    while (numbers[slot] && numbers[slot] != number) slot = (slot + 1) % SLOTS;
    return slot;
}

/* One caller at a time. Others may look for kernels meanwhile. */
void keras_spiking_register(uint64_t number, void *kernel) {
    const long slot = slot_of(number);
    kernels[slot] = kernel;
    numbers[slot] = number;
}

/* The kernel of a number, or null if this process has not made it. */
static void *find(uint64_t number) {
    const long slot = slot_of(number);
    return numbers[slot] ? kernels[slot] : 0;
}
"""

SOURCE = (
    TABLE_SOURCE
    + BLOCK_SIZE
    + r"""
#include <sched.h>
#include <stdlib.h>

typedef int kernel(INDEX, INDEX, INDEX, INDEX, INDEX, void **, void **);

/* One call of a kernel, cut into parts that threads take until none is left. A
   helper may come when all is done, so the last one to leave frees it. */
typedef struct {
    kernel *function;
    INDEX batch, time, features, items, parts;
    void **in, **out;
    atomic_llong next, finished, failed, holders;
} Work;

static void take_parts(Work *work) {
    INDEX part;
    while ((part = atomic_fetch_add(&work->next, 1)) < work->parts) {
        work->failed += work->function(
            work->items * part / work->parts, work->items * (part + 1) / work->parts,
            work->batch, work->time, work->features, work->in, work->out);
        atomic_fetch_add(&work->finished, 1);
    }
}

static void leave(Work *work) {
    if (atomic_fetch_sub(&work->holders, 1) == 1) free(work);
}

/* What a helper does. Who asks for one counts it as a holder before. */
static void help(void *work) {
    take_parts(work);
    leave(work);
}

/* A part should take longer than it takes to wake a thread. */
#define SIZE_OF_PART 32768
#define MAX_PARTS 64

/* Runs a kernel on sequences of sizes batch, time and features; `call_for_help` makes
   other threads call `help`. Returns whether memory was missing. */
static int run(
    kernel *function, const int64_t *sizes, void **in, void **out,
    void (*call_for_help)(void *context, Work *), void *context
) {
    Work *work = malloc(sizeof(Work));
    if (!work) return 1;
    const INDEX batch = sizes[0], time = sizes[1], features = sizes[2];
    const INDEX block = block_size(time);
    const INDEX items = batch * ((features + block - 1) / block);
    INDEX parts = 1 + batch * time * features / SIZE_OF_PART;
    if (parts > MAX_PARTS) parts = MAX_PARTS;
    if (parts > items) parts = items;
    *work = (Work){
        .function = function, .batch = batch, .time = time, .features = features,
        .items = items, .parts = parts, .in = in, .out = out, .holders = 1};
    if (parts > 1) call_for_help(context, work);
    take_parts(work);
    while (work->finished < parts) sched_yield();
    const INDEX failed = work->failed;
    leave(work);
    return failed != 0;
}
"""
)


def register(entry, library):
    """Puts the kernels of a `Library` into the table of an entry."""
    for name in library.kernels:
        put(entry, library.number(name), library.address(f"{name}_part"))


def put(entry, number, address):
    """Puts a kernel into the table of an entry, a `ctypes.CDLL`."""
    with _registering:
        entry.keras_spiking_register(ctypes.c_uint64(number), ctypes.c_void_p(address))
