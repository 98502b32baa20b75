// One step of projected L-BFGS without a line search (LBFGS.update of lbfgs.py):
//
//     s = z - z before, y = g - g before; kept where s.y > 0 and (s.y)^2 > 1e-6 |s|^2 |y|^2
//     d = H g by the two loops over the last pairs;  z' = clip(z - d min(1, lr sqrt(Z) / |d|), +-bound)
//
// One block a row; rows [Z] lie one after another, a row's pairs [memory, Z] too. A thread walks the same
// numbers of every vector, so the direction lies where z before was and no barrier guards it: there are only
// those of the scalar products.
//
// Work of a row with M pairs: reads them twice, writes one, 16 M + 44 bytes a number, 12.4 kB at Z = 100 and
// M = 5; and 2 M + 5 scalar products, one barrier each, which is what a launch costs beside its latency. Time
// on a device: not measured yet.
#include "search.cuh"

// The scalar product of two vectors of a row, the same to the bit in every thread.
__device__ inline float along(const float *one, const float *other, int z_dim, int &turn) {
    Sum sum;
#pragma unroll 1
    for (int i = threadIdx.x; i < z_dim; i += blockDim.x) sum.add(one[i] * other[i]);
    turn ^= 1;
    return reduce(true, sum.total(), turn).sum;
}

extern "C" __global__ void lbfgs_step(const LBFGS own) {
    const Search &search = own.search;
    const Row row = row_of_block(search);
    if (!row.pending) return;
    __shared__ float shares[MOST_PAIRS];
    const int z_dim = search.z_dim, memory = own.memory;
    const long long first_pair = static_cast<long long>(row.at) * memory;
    float *z = search.z + row.begin, *best = search.best_z + row.begin;
    float *before = own.z_before + row.begin, *gradient_before = own.gradient_before + row.begin;
    float *curvatures = own.curvatures + first_pair;
    float *moves = own.moves + first_pair * z_dim, *changes = own.changes + first_pair * z_dim;
    const float *gradient = search.gradient + row.begin;
    const int kept_before = own.pairs[row.at];
    const float lr = own.rates[row.step].lr;

    bool finite = isfinite(row.loss);
    Sum curving, moved, changed;
#pragma unroll 1
    for (int i = threadIdx.x; i < z_dim; i += blockDim.x) {
        const float s = z[i] - before[i], y = gradient[i] - gradient_before[i];
        finite &= isfinite(gradient[i]);
        curving.add(s * y);
        moved.add(s * s);
        changed.add(y * y);
    }
    const Reduced row_wide = reduce(finite, curving.total(), 0);
    if (!row_wide.all) {
        if (threadIdx.x == 0) close_step(search, row, false);
        return;
    }
    const float curvature = row_wide.sum;
    const float moved_by = reduce(true, moved.total(), 1).sum;
    const float squares = moved_by * reduce(true, changed.total(), 0).sum;
    const bool kept = row.step > 0 && curvature > 0 && curvature * curvature > 1e-6f * squares;
    const int slot = kept_before % memory, newest = kept_before + kept - 1;
    const int count = newest < memory ? newest + 1 : memory;

    float *direction = before;
    int turn = 0;
#pragma unroll 1
    for (int i = threadIdx.x; i < z_dim; i += blockDim.x) {
        const float g = gradient[i];
        if (kept) {
            moves[slot * static_cast<long long>(z_dim) + i] = z[i] - before[i];
            changes[slot * static_cast<long long>(z_dim) + i] = g - gradient_before[i];
        }
        if (row.better) best[i] = z[i];
        gradient_before[i] = g;
        direction[i] = g;
    }
#pragma unroll 1
    for (int age = 0; age < count; age++) {
        const int pair = (newest - age) % memory;
        const float *s = moves + pair * static_cast<long long>(z_dim);
        const float *y = changes + pair * static_cast<long long>(z_dim);
        const float product = along(s, direction, z_dim, turn);
        const float share = product / (kept && age == 0 ? curvature : curvatures[pair]);
        if (threadIdx.x == 0) shares[age] = share;
#pragma unroll 1
        for (int i = threadIdx.x; i < z_dim; i += blockDim.x) direction[i] -= share * y[i];
    }
    if (count) {
        const int pair = newest % memory;
        const float *y = changes + pair * static_cast<long long>(z_dim);
        const float scale = (kept ? curvature : curvatures[pair]) / along(y, y, z_dim, turn);
#pragma unroll 1
        for (int i = threadIdx.x; i < z_dim; i += blockDim.x) direction[i] = scale * direction[i];
    }
#pragma unroll 1
    for (int age = count - 1; age >= 0; age--) {
        const int pair = (newest - age) % memory;
        const float *s = moves + pair * static_cast<long long>(z_dim);
        const float *y = changes + pair * static_cast<long long>(z_dim);
        const float product = along(y, direction, z_dim, turn);
        const float rest = shares[age] - product / (kept && age == 0 ? curvature : curvatures[pair]);
#pragma unroll 1
        for (int i = threadIdx.x; i < z_dim; i += blockDim.x) direction[i] += rest * s[i];
    }

    const float tiny = 1.17549435e-38f;
    const float root = sqrtf(along(direction, direction, z_dim, turn)), norm = root < tiny ? tiny : root;
    const float longest = lr * sqrtf(static_cast<float>(z_dim)) / norm, part = longest > 1 ? 1 : longest;
#pragma unroll 1
    for (int i = threadIdx.x; i < z_dim; i += blockDim.x) {
        const float here = z[i];
        z[i] = project(here - direction[i] * part, search.bound);
        before[i] = here;
    }
    if (threadIdx.x == 0) {
        if (kept) curvatures[slot] = curvature;
        own.pairs[row.at] = kept_before + kept;
        close_step(search, row, true);
    }
}
