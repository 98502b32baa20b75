// One step of projected Adam (Adam.update of adam.py), with t counted from 1:
//
//     m' = beta1 m + (1 - beta1) g;  v' = beta2 v + (1 - beta2) g^2
//     z' = clip(z - lr (m' / (1 - beta1^t)) / (sqrt(v' / (1 - beta2^t)) + eps), +-bound)
//
// One block a row; rows [Z] lie one after another. The corrections come from the table of rates, worked out in
// float64 before the search: step 10^6 is as exact as step 1.
//
// Work of a row: reads gradient, z, m, v, writes z, m, v and, where the loss is the least so far, best_z: 28
// to 32 bytes a number and 64 of bookkeeping, 3.3 kB at Z = 100, so a launch's latency is what it costs. One
// barrier. Time on a device: not measured yet.
#include "search.cuh"

extern "C" __global__ void adam_step(const Adam own) {
    const Search &search = own.search;
    const Row row = row_of_block(search);
    if (!row.pending) return;
    const AdamRates rates = own.rates[row.step];
    float *z = search.z + row.begin, *best = search.best_z + row.begin;
    float *first = own.first_moment + row.begin, *second = own.second_moment + row.begin;
    const float *gradient = search.gradient + row.begin;

    bool finite = isfinite(row.loss);
#pragma unroll 1
    for (int i = threadIdx.x; i < search.z_dim; i += blockDim.x) finite &= isfinite(gradient[i]);
    finite = __syncthreads_and(finite);
    const int moving = finite ? search.z_dim : 0;

#pragma unroll 1
    for (int i = threadIdx.x; i < moving; i += blockDim.x) {
        const float here = z[i], g = gradient[i];
        const float m = own.beta1 * first[i] + own.beta1_rest * g;
        const float v = own.beta2 * second[i] + own.beta2_rest * (g * g);
        const float root = sqrtf(v / rates.second_correction);
        if (row.better) best[i] = here;
        first[i] = m;
        second[i] = v;
        const float step = rates.lr * (m / rates.first_correction) / (root + own.eps);
        z[i] = project(here - step, search.bound);
    }
    if (threadIdx.x == 0) close_step(search, row, finite);
}
