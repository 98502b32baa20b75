// What the step kernels share: what is the same whatever the solver.
//
// A launch is one step of every row (picture), one block a row. Thread 0 does the row's bookkeeping; vectors
// [Z] are walked by all threads with the block's stride, so any block of a multiple of 32 threads will do.
// A row that has ended, or is at its limit, returns at once and nothing of it is touched. The others pass
// one barrier (__syncthreads_and): before it nothing is written, after it nothing is read that thread 0 writes.
#pragma once

#include "arguments.cuh"  // made of what Python declares: struct Search, and one for each solver

enum Status { RUNNING, FAILED, REACHED, CONVERGED };

// A row before its step.
struct Row {
    int at, step;     // which row; its evaluations before this one
    long long begin;  // where its vectors begin
    bool pending;     // whether it takes this step
    bool better;      // whether its loss is less than the least so far; it may still fail
    float loss, contextual, perceptual, mark;
    int marked_at;
};

// Whether a row takes another step.
__device__ inline bool is_pending(const Search &search, int at) {
    return (search.status[at] == RUNNING) & (search.steps[at] < search.limit[at]);
}

// The row of this block, read by every thread before the barrier. All of it is asked for at once: waiting for
// memory is what a launch consists of.
__device__ inline Row row_of_block(const Search &search) {
    Row row;
    const int at = row.at = blockIdx.x;
    row.step = search.steps[at];
    row.begin = static_cast<long long>(at) * search.z_dim;
    row.pending = is_pending(search, at);
    row.loss = search.loss[at];
    row.better = row.loss < search.best_loss[at];
    row.contextual = search.contextual[at];
    row.perceptual = search.perceptual[at];
    row.mark = search.mark[at];
    row.marked_at = search.marked_at[at];
    return row;
}

// A sum that keeps what rounding takes from it, so that one of a million numbers is as good as NumPy's pairwise.
struct Sum {
    float value = 0, lost = 0;

    __device__ void add(float x) {
        const float next = value + x;
        lost += x - (next - value);
        value = next;
    }

    __device__ float total() const { return isfinite(lost) ? value + lost : value; }  // inf stays inf
};

struct Reduced {
    bool all;
    float sum;
};

// Over the threads of the block: whether `flag` holds in all, and the sum of `value`. In every thread the same
// to the bit: a butterfly in each warp, then the warps in order. A kernel that reduces more than once takes
// turns 0 and 1, so that no warp writes what another still reads.
static __device__ Reduced reduce(bool flag, float value, int turn = 0) {
    __shared__ float turns[2][32];
    float *sums = turns[turn];
    for (int distance = 16; distance; distance /= 2)
        value += __shfl_xor_sync(0xffffffffu, value, distance);
    if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = value;
    const bool all = __syncthreads_and(flag);
    float sum = 0;
    for (unsigned warp = 0; warp < blockDim.x / 32; warp++) sum += sums[warp];
    return {all, sum};
}

// Thread 0, after the barrier: counts the step of a row and decides whether the row ends here.
__device__ inline void close_step(const Search &search, const Row &row, bool finite) {
    const int at = row.at, steps = row.step + 1;
    search.steps[at] = steps;
    if (!finite) {
        search.status[at] = FAILED;
        return;
    }
    if (row.better) {
        search.best_loss[at] = row.loss;
        search.best_contextual[at] = row.contextual;
        search.best_perceptual[at] = row.perceptual;
    }
    if (steps == 1 || row.mark - row.loss > search.tolerance * fabsf(row.mark)) {
        search.mark[at] = row.loss;
        search.marked_at[at] = steps;
    } else if (search.patience && steps - row.marked_at >= search.patience) {
        search.status[at] = CONVERGED;
    }
    if (row.loss <= search.goal) search.status[at] = REACHED;
}

// x in [-bound, bound]; NaN stays NaN, as in NumPy.
__device__ inline float project(float x, float bound) {
    return x < -bound ? -bound : x > bound ? bound : x;
}
