"""What the C code that a framework calls needs to run kernels.

A framework knows one entry: the custom call target of XLA, the operator of
TensorFlow. It finds a kernel by its number in a table, so that no address gets into
what a framework may keep on disk and load in another process. It cuts a call into
parts; how threads come to take them is up to the framework.
"""

import ctypes

from keras_spiking.locks import Lock

# `ctypes` lets other threads of Python run during a call.
_registering = Lock()

TABLE_SOURCE = r"""
#include <stdatomic.h>
#include <stdint.h>

typedef long long INDEX;

/* On a host, functions of a part, and of the sizes, in how many parts a call is cut at
   most. On a device, what launches it. */
typedef struct {
    void *function;
    INDEX (*parts)(const INDEX *);
} Kernel;

#define SLOTS 65536
static _Atomic uint64_t numbers[SLOTS];
static Kernel kernels[SLOTS];

static long slot_of(uint64_t number) {
    long slot = number % SLOTS;
    while (numbers[slot] && numbers[slot] != number) slot = (slot + 1) % SLOTS;
    return slot;
}

/* One caller at a time. Others may look for kernels meanwhile. */
void keras_spiking_register(uint64_t number, void *function, void *parts) {
    const long slot = slot_of(number);
    kernels[slot] = (Kernel){function, parts};
    numbers[slot] = number;
}

/* The kernel of a number, or null if this process has not made it. */
static const Kernel *find(uint64_t number) {
    const long slot = slot_of(number);
    return numbers[slot] ? &kernels[slot] : 0;
}
"""

SOURCE = (
    TABLE_SOURCE
    + r"""
#include <sched.h>
#include <stdlib.h>

typedef int kernel_part(INDEX, INDEX, const INDEX *, void **, void **);

/* One call of a kernel, cut into parts that threads take until none is left. A
   helper may come when all is done, so the last one to leave frees it. */
typedef struct {
    kernel_part *function;
    const INDEX *sizes;
    INDEX parts;
    void **in, **out;
    atomic_llong next, finished, failed, holders;
} Work;

static void take_parts(Work *work) {
    INDEX part;
    while ((part = atomic_fetch_add(&work->next, 1)) < work->parts) {
        work->failed +=
            work->function(part, work->parts, work->sizes, work->in, work->out);
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

#define MAX_PARTS 64

/* Runs a kernel on arrays of these sizes; `call_for_help` makes other threads call
   `help`. Returns whether memory was missing. */
static int run(
    const Kernel *kernel, const int64_t *sizes, void **in, void **out,
    void (*call_for_help)(void *context, Work *), void *context
) {
    Work *work = malloc(sizeof(Work));
    if (!work) return 1;
    INDEX parts = kernel->parts((const INDEX *)sizes);
    if (parts > MAX_PARTS) parts = MAX_PARTS;
    *work = (Work){
        .function = kernel->function, .sizes = (const INDEX *)sizes, .parts = parts,
        .in = in, .out = out, .holders = 1};
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
    """Puts the kernels of a library into the table of an entry."""
    for name in library.kernels:
        addresses = library.address(f"{name}_part"), library.address(f"{name}_parts")
        put(entry, library.number(name), *addresses)


def put(entry, number, function, parts=None):
    """Puts a kernel's functions into the table of an entry, a `ctypes.CDLL`."""
    with _registering:
        entry.keras_spiking_register(
            ctypes.c_uint64(number), ctypes.c_void_p(function), ctypes.c_void_p(parts)
        )
