// One evaluation of Hamiltonian Monte Carlo in the field of beta * loss (HMC.update of hmc.py): the first of a
// trajectory starts it from fresh noise, L more walk it, and the last of them takes its end or goes back.
//
//     p = noise at the start, else p - size/2 beta g   (the half kick that completes the step before)
//     at the end: z' = z if uniform <= exp(energy at the start - energy here), else the start's
//     elsewhere:  p' = p - size/2 beta g;  z' = clip(z + size p', +-bound)
//     energy = beta loss + |p|^2 / 2
//
// One block a row; rows [Z] lie one after another, noise is [trajectories, N, Z]. Whether a step starts or
// ends a trajectory is the same for the whole row, so no warp diverges.
//
// Work of a row: reads gradient, z, p or noise (each twice, once from the cache), writes z, p, at the start
// where it began, and best_z where the loss is the least so far: 20 to 28 bytes a number and 72 of
// bookkeeping, so a launch's latency is what it costs. One barrier. Time on a device: not measured yet.
#include "search.cuh"

extern "C" __global__ void hmc_step(const HMC own) {
    const Search &search = own.search;
    const Row row = row_of_block(search);
    if (!row.pending) return;
    const HMCRates rates = own.rates[row.step];
    const int trajectory = row.step / (own.leapfrog + 1), position = row.step % (own.leapfrog + 1);
    const bool starts = position == 0, ends = position == own.leapfrog;
    const long long draw = static_cast<long long>(trajectory) * search.rows + row.at;
    float *z = search.z + row.begin, *best = search.best_z + row.begin;
    float *origin = own.origin + row.begin, *momentum = own.momentum + row.begin;
    const float *noise = own.noise + draw * search.z_dim, *gradient = search.gradient + row.begin;
    const float kick = own.half_size * rates.beta;
    const float energy_before = own.energy[row.at];

    bool finite = isfinite(row.loss);
    Sum squares;
#pragma unroll 1
    for (int i = threadIdx.x; i < search.z_dim; i += blockDim.x) {
        finite &= isfinite(gradient[i]);
        const float p = starts ? noise[i] : momentum[i] - kick * gradient[i];
        squares.add(p * p);
    }
    const Reduced row_wide = reduce(finite, squares.total());
    const int moving = row_wide.all ? search.z_dim : 0;

    const float energy = rates.beta * row.loss + row_wide.sum / 2;
    const bool accepted = ends && own.uniform[draw] <= expf(energy_before - energy);
#pragma unroll 1
    for (int i = threadIdx.x; i < moving; i += blockDim.x) {
        const float here = z[i];
        const float p = starts ? noise[i] : momentum[i] - kick * gradient[i];
        const float kicked = p - kick * gradient[i];
        if (row.better) best[i] = here;
        if (starts) origin[i] = here;
        momentum[i] = ends ? p : kicked;
        if (!ends) z[i] = project(here + own.size * kicked, search.bound);
        else if (!accepted) z[i] = origin[i];
    }
    if (threadIdx.x == 0) {
        if (starts && row_wide.all) own.energy[row.at] = energy;
        close_step(search, row, row_wide.all);
    }
}
