// As much of CUDA as the kernels use, on the host: a block's threads are fibres, run one after another from
// barrier to barrier in an order that the test chooses. Shared memory holds NaN when a block begins.
#pragma once
#include <math.h>
#include <setjmp.h>
#include <stddef.h>
#include <string.h>
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#define __global__
#define __device__
#define __shared__ static __attribute__((section("shared")))
using std::isfinite;

struct Index {
    unsigned x;
};
static Index threadIdx, blockIdx, blockDim, gridDim;

namespace host {

enum Wait { NOTHING, WARP, BLOCK, THE_END };

struct Thread {
    ucontext_t beginning;
    jmp_buf place;  // where it waits, once it has begun
    bool begun;
    std::vector<char> stack;
    Wait wait;
    bool flag;
    float value;
    int distance;
};

static jmp_buf scheduler;
static std::vector<Thread> threads;
static void (*body)();

// Jumps, as swapcontext asks the system for the mask of signals each time.
__attribute__((noinline)) static void wait(Wait what) {
    threads[threadIdx.x].wait = what;
    if (!_setjmp(threads[threadIdx.x].place)) _longjmp(scheduler, 1);
}

// Until the thread waits.
__attribute__((noinline)) static void run(Thread &thread) {
    if (_setjmp(scheduler)) return;
    if (thread.begun) _longjmp(thread.place, 1);
    thread.begun = true;
    setcontext(&thread.beginning);
}

static void run_body() {
    body();
    wait(THE_END);
}

static bool all_wait(size_t begin, size_t end, Wait what) {
    return std::all_of(threads.begin() + begin, threads.begin() + end,
                       [=](const Thread &thread) { return thread.wait == what; });
}

static bool release_block() {
    if (!all_wait(0, threads.size(), BLOCK)) return false;
    const bool all = std::all_of(threads.begin(), threads.end(), [](const Thread &it) { return it.flag; });
    for (Thread &thread : threads) thread.flag = all, thread.wait = NOTHING;
    return true;
}

static bool release_warps() {
    bool any = false;
    for (size_t warp = 0; warp < threads.size(); warp += 32) {
        if (!all_wait(warp, warp + 32, WARP)) continue;
        float taken[32];
        for (size_t lane = 0; lane < 32; lane++)
            taken[lane] = threads[warp + (lane ^ threads[warp + lane].distance)].value;
        for (size_t lane = 0; lane < 32; lane++)
            threads[warp + lane].value = taken[lane], threads[warp + lane].wait = NOTHING;
        any = true;
    }
    return any;
}

static void run_until_barriers(std::vector<unsigned> &order, std::minstd_rand *random) {
    if (random) std::shuffle(order.begin(), order.end(), *random);
    for (unsigned thread : order)
        if (threads[thread].wait == NOTHING) {
            threadIdx.x = thread;
            run(threads[thread]);
        }
}

extern "C" char __start_shared[], __stop_shared[];

// False where some threads wait for others that never come.
static bool run_block(std::vector<unsigned> order, std::minstd_rand *random) {
    memset(__start_shared, 0xff, __stop_shared - __start_shared);
    for (Thread &thread : threads) {
        thread.stack.resize(1 << 14);
        thread.wait = NOTHING, thread.begun = false;
        getcontext(&thread.beginning);
        thread.beginning.uc_stack.ss_sp = thread.stack.data();
        thread.beginning.uc_stack.ss_size = thread.stack.size();
        makecontext(&thread.beginning, run_body, 0);
    }
    do run_until_barriers(order, random);
    while (release_block() || release_warps());
    return all_wait(0, threads.size(), THE_END);
}

// Order: 0 is ascending, 1 descending, others seed a shuffle between any two barriers.
static bool launch(unsigned grid, unsigned block, unsigned order, void (*kernel)()) {
    body = kernel;
    threads.resize(block);
    gridDim.x = grid, blockDim.x = block;
    std::vector<unsigned> indices(block);
    for (unsigned i = 0; i < block; i++) indices[i] = order == 1 ? block - 1 - i : i;
    std::minstd_rand random(order);
    for (blockIdx.x = 0; blockIdx.x < grid; blockIdx.x++)
        if (!run_block(indices, order > 1 ? &random : nullptr)) return false;
    return true;
}

}  // namespace host

// A handle is where its value is.
extern "C" inline void cudaGraphSetConditional(unsigned long long handle, unsigned value) {
    *reinterpret_cast<unsigned *>(handle) = value;
}

inline bool __syncthreads_and(bool flag) {
    host::threads[threadIdx.x].flag = flag;
    host::wait(host::BLOCK);
    return host::threads[threadIdx.x].flag;
}

inline float __shfl_xor_sync(unsigned, float value, int distance) {
    host::Thread &me = host::threads[threadIdx.x];
    me.value = value, me.distance = distance;
    host::wait(host::WARP);
    return host::threads[threadIdx.x].value;
}
