// Whether a graph that runs one step again and again runs it once more: as long as a row takes steps.
//
// The handle is of a WHILE node, whose body ends with this kernel, one block. What sets it is in no library: a
// driver of CUDA 12.4 puts its own in when it loads a module that asks for it. So this module is PTX alone, and
// a GPU whose driver is older never loads it.
//
// Work of a batch of N rows: reads 12 N bytes. Time on a device: not measured yet.
#include "search.cuh"

extern "C" __device__ void cudaGraphSetConditional(unsigned long long handle, unsigned value);

extern "C" __global__ void search_again(const Loop loop) {
    bool none = true;
    for (int row = threadIdx.x; row < loop.search.rows; row += blockDim.x) none &= !is_pending(loop.search, row);
    none = __syncthreads_and(none);
    if (threadIdx.x == 0) cudaGraphSetConditional(loop.handle, !none);
}
