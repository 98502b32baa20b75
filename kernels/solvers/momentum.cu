// One step of projected momentum in Nesterov's form (Momentum.update of momentum.py):
//
//     v' = mu v - lr g;  z' = clip(z - mu v + (1 + mu) v', +-bound)
//
// with `normalise` on g / max(|g|, the least normal float). One block a row; rows [Z] lie one after another.
//
// Work of a row: reads gradient, z, v, writes z, v and, where the loss is the least so far, best_z: 20 to
// 24 bytes a number and 64 of bookkeeping, 2.5 kB at Z = 100, so a launch's latency is what it costs. The
// second reading of g comes from the cache. One barrier. Time on a device: not measured yet.
#include "search.cuh"

extern "C" __global__ void momentum_step(const Momentum own) {
    const Search &search = own.search;
    const Row row = row_of_block(search);
    if (!row.pending) return;
    const MomentumRates rates = own.rates[row.step];
    float *z = search.z + row.begin, *velocity = own.velocity + row.begin, *best = search.best_z + row.begin;
    const float *gradient = search.gradient + row.begin;

    bool finite = isfinite(row.loss);
    Sum squares;
#pragma unroll 1
    for (int i = threadIdx.x; i < search.z_dim; i += blockDim.x) {
        finite &= isfinite(gradient[i]);
        squares.add(gradient[i] * gradient[i]);
    }
    const Reduced row_wide = reduce(finite, squares.total());
    const int moving = row_wide.all ? search.z_dim : 0;

    const float tiny = 1.17549435e-38f;
    const float root = sqrtf(row_wide.sum), norm = root < tiny ? tiny : root;
    const float mu = own.momentum;
#pragma unroll 1
    for (int i = threadIdx.x; i < moving; i += blockDim.x) {
        const float here = z[i], before = velocity[i];
        const float g = own.normalise ? gradient[i] / norm : gradient[i];
        const float after = mu * before - rates.lr * g;
        if (row.better) best[i] = here;
        velocity[i] = after;
        z[i] = project(here - mu * before + own.momentum_ahead * after, search.bound);
    }
    if (threadIdx.x == 0) close_step(search, row, row_wide.all);
}
