// Modules are the forms that ship; their kernels run from the library that was built of the same sources.
#include <dlfcn.h>
#include <elf.h>
#include <string.h>

#include "driver.h"

// What a driver has to say of the image: nothing. Who reads the logs reads what is in them.
static void empty_logs(unsigned count, const CUjit_option *options, void **values) {
    for (unsigned i = 0; i < count; i++) {
        if (options[i] == CU_JIT_INFO_LOG_BUFFER || options[i] == CU_JIT_ERROR_LOG_BUFFER)
            *static_cast<char *>(values[i]) = 0;
        if (options[i] == CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES || options[i] == CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES)
            values[i] = nullptr;
    }
}

// PTX is text; an ELF file ends with its table of sections.
static std::string content_of(const char *begin) {
    if (*begin == '/') return begin;
    Elf64_Ehdr header;
    memcpy(&header, begin, sizeof(header));
    return std::string(begin, header.e_shoff + header.e_shnum * header.e_shentsize);
}

API CUresult cuModuleLoadDataEx(CUmodule *module, const void *image, unsigned count, CUjit_option *options,
                                void **values) {
    empty_logs(count, options, values);
    CALL;
    NEEDS_CONTEXT;
    NOT_CAPTURED;
    const char *begin = static_cast<const char *>(image);
    if (memcmp(begin, "\177ELF", 4) && memcmp(begin, "//", 2)) return CUDA_ERROR_INVALID_IMAGE;
    const std::string content = content_of(begin);
    const bool ends_loops = content.find(".func cudaGraphSetConditional") != std::string::npos;
    if (ends_loops && driver.gpu.cuda < 12030) return CUDA_ERROR_INVALID_PTX;  // nothing there has that name
    driver.counts[*begin == '/' ? "modules of PTX" : "modules of machine code"]++;
    *module = new CUmod_st{content};
    return CUDA_SUCCESS;
}

API CUresult cuModuleLoadData(CUmodule *module, const void *image) {
    return cuModuleLoadDataEx(module, image, 0, nullptr, nullptr);
}

API CUresult cuModuleUnload(CUmodule module) {
    CALL;
    delete module;
    return CUDA_SUCCESS;
}

API CUresult cuModuleGetFunction(CUfunction *function, CUmodule module, const char *name) {
    CALL;
    NEEDS_CONTEXT;
    void *found = driver.kernels ? dlsym(driver.kernels, (std::string("launch_") + name).c_str()) : nullptr;
    if (!found || module->image.find(name) == std::string::npos) return CUDA_ERROR_NOT_FOUND;
    *function = new CUfunc_st{name, reinterpret_cast<decltype(CUfunc_st::launch)>(found)};
    return CUDA_SUCCESS;
}

// pycuda gives the block twice, here and with the launch, which is the one that counts.
API CUresult cuFuncSetBlockShape(CUfunction, int, int, int) {
    CALL;
    return CUDA_SUCCESS;
}

static std::string arguments_of(void **extra) {
    const char *begin = nullptr;
    size_t size = 0;
    for (; extra && *extra != CU_LAUNCH_PARAM_END; extra += 2) {
        if (*extra == CU_LAUNCH_PARAM_BUFFER_POINTER) begin = static_cast<const char *>(extra[1]);
        if (*extra == CU_LAUNCH_PARAM_BUFFER_SIZE) size = *static_cast<size_t *>(extra[1]);
    }
    return begin ? std::string(begin, size) : std::string();
}

API CUresult cuLaunchKernel(
    CUfunction function, unsigned grid, unsigned grid_y, unsigned grid_z, unsigned block, unsigned block_y,
    unsigned block_z, unsigned shared, CUstream stream, void **parameters, void **extra) {
    CALL;
    NEEDS_CONTEXT;
    const std::string arguments = arguments_of(extra);
    if (grid_y != 1 || grid_z != 1 || block_y != 1 || block_z != 1 || shared || parameters || arguments.empty())
        return CUDA_ERROR_INVALID_VALUE;
    if (!grid || !block || block > 1024) return CUDA_ERROR_INVALID_VALUE;
    return enqueue(stream, [=] {
        std::lock_guard<std::recursive_mutex> guard(driver.lock);
        driver.counts["kernels"] += 1, driver.counts[function->name] += 1;
        driver.log.push_back(function->name);
        if (!function->launch(grid, block, 0, arguments.data())) {
            complain("some threads of " + function->name + " wait for others that never come");
            driver.sticky = CUDA_ERROR_LAUNCH_FAILED;
        }
    });
}
