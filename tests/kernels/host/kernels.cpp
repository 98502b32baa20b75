// The kernels as a library of the host: one launcher each, and the layout of their arguments.
#include "cuda.h"

#include "compose.cu"
#include "loop.cu"

#define LAUNCHER(kernel, Struct)                                                                          \
    extern "C" bool launch_##kernel(unsigned grid, unsigned block, unsigned order, const Struct *given) { \
        static const Struct *arguments;                                                                   \
        arguments = given;                                                                                \
        return host::launch(grid, block, order, [] { kernel(*arguments); });                              \
    }

LAUNCHER(compose, Compose)
LAUNCHER(search_again, Loop)

// Fields are a list of FIELD(name), made of the names that the NumPy dtype has.
#define FIELD(name) offsetof(Layout, name), sizeof(Layout::name),
#define LAYOUT(Struct, fields)                                             \
    extern "C" const size_t *layout_##Struct() {                           \
        using Layout = Struct;                                             \
        static const size_t layout[] = {fields sizeof(Struct)};            \
        return layout;                                                     \
    }

#include "launchers.cpp"
