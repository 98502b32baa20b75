// What the kernels are given, by value; made of what Python declares.
#pragma once

enum { MOST_PAIRS = 32 };

struct Search {
    float *z;  // [N, Z], in place, where the step graph reads it
    const float *loss;  // [N], this and the next three are what the step graph says of z
    const float *gradient;  // [N, Z]
    const float *contextual;  // [N]
    const float *perceptual;  // [N]
    float *best_z;  // [N, Z], where the loss was least, and what it was there
    float *best_loss;  // [N]
    float *best_contextual;  // [N]
    float *best_perceptual;  // [N]
    float *mark;  // [N], the last loss that was better by more than the tolerance
    int *marked_at;  // [N], its step
    int *steps;  // [N], evaluations so far
    const int *limit;  // [N], the row pauses after this many
    int *status;  // [N], a Status
    int rows;  // N
    int z_dim;  // Z
    int patience;  // steps without a new mark that end the row; 0 is never
    float bound;  // of |z|
    float goal;  // a loss that ends the row; -inf is none
    float tolerance;  // a share of the loss
};

struct MomentumRates {
    float lr;
};

struct Momentum {
    Search search;
    const MomentumRates *rates;  // [steps]
    float *velocity;  // [N, Z]
    float momentum;
    float momentum_ahead;
    int normalise;
};

struct AdamRates {
    float lr;
    float first_correction;
    float second_correction;
};

struct Adam {
    Search search;
    const AdamRates *rates;  // [steps]
    float *first_moment;  // [N, Z]
    float *second_moment;  // [N, Z]
    float beta1;
    float beta1_rest;
    float beta2;
    float beta2_rest;
    float eps;
};

struct LBFGSRates {
    float lr;
};

struct LBFGS {
    Search search;
    const LBFGSRates *rates;  // [steps]
    float *z_before;  // [N, Z]
    float *gradient_before;  // [N, Z]
    float *moves;  // [N, memory, Z], of the last steps; pair k lies in slot k % memory
    float *changes;  // [N, memory, Z], what they changed in the gradient
    float *curvatures;  // [N, memory], their scalar products
    int *pairs;  // [N], kept so far
    int memory;
};

struct HMCRates {
    float lr;
    float beta;
};

struct HMC {
    Search search;
    const HMCRates *rates;  // [steps]
    float *momentum;  // [N, Z]
    float *origin;  // [N, Z], z at the trajectory's start
    float *energy;  // [N], at the trajectory's start
    const float *noise;  // [draws, N, Z], the momentum that each trajectory starts with
    const float *uniform;  // [draws, N], decides whether a trajectory's end is taken
    int leapfrog;
    float size;
    float half_size;
};

struct Loop {
    Search search;
    unsigned long long handle;  // of the loop that it ends
};

struct Compose {
    const float *generated;  // [N, C, H, W], in [-1, 1]
    const float *target;  // the same
    const unsigned char *known;  // [N, H, W]
    unsigned char *composed;  // [N, H, W, C]
    int rows;
    int channels;
    int height;
    int width;
};
