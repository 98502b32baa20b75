// Devices and their primary context, which is reference-counted, and the stack that each thread has of its own.
#include <stdlib.h>
#include <string.h>

#include "driver.h"

Driver driver;
thread_local std::vector<CUcontext> stack;

CUcontext current() { return !stack.empty() && stack.back()->retained ? stack.back() : nullptr; }

API CUresult cuInit(unsigned) {
    CALL;
    return driver.gpu.count ? CUDA_SUCCESS : CUDA_ERROR_NO_DEVICE;
}

API CUresult cuDriverGetVersion(int *version) {
    CALL;
    *version = driver.gpu.cuda;
    return CUDA_SUCCESS;
}

API CUresult cuDeviceGetCount(int *count) {
    CALL;
    *count = driver.gpu.count;
    return CUDA_SUCCESS;
}

API CUresult cuDeviceGet(CUdevice *device, int ordinal) {
    CALL;
    if (ordinal < 0 || ordinal >= driver.gpu.count) return CUDA_ERROR_INVALID_DEVICE;
    *device = ordinal;
    return CUDA_SUCCESS;
}

API CUresult cuDeviceGetName(char *name, int length, CUdevice) {
    CALL;
    strncpy(name, "Stub GPU", length);
    return CUDA_SUCCESS;
}

API CUresult cuDeviceTotalMem(size_t *bytes, CUdevice) {
    CALL;
    *bytes = driver.gpu.total;
    return CUDA_SUCCESS;
}

API CUresult cuDeviceComputeCapability(int *major, int *minor, CUdevice) {
    CALL;
    *major = driver.gpu.major, *minor = driver.gpu.minor;
    return CUDA_SUCCESS;
}

API CUresult cuDeviceGetAttribute(int *value, CUdevice_attribute attribute, CUdevice) {
    CALL;
    if (attribute == CU_DEVICE_ATTRIBUTE_INTEGRATED) *value = driver.gpu.integrated;
    else *value = attribute == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR   ? driver.gpu.major
             : attribute == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR ? driver.gpu.minor
                                                                         : 0;
    return CUDA_SUCCESS;
}

API CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice) {
    CALL;
    driver.primary.retained++;
    *context = &driver.primary;
    return CUDA_SUCCESS;
}

API CUresult cuDevicePrimaryCtxSetFlags(CUdevice, unsigned flags) {
    CALL;
    driver.primary.flags = flags;
    return CUDA_SUCCESS;
}

// The last one takes with it whatever lives in the context; a program that leaves something there is wrong.
API CUresult cuDevicePrimaryCtxRelease(CUdevice) {
    CALL;
    if (!driver.primary.retained) return CUDA_ERROR_INVALID_CONTEXT;
    if (--driver.primary.retained) return CUDA_SUCCESS;
    if (driver.streams.size() || driver.events.size())
        complain("the primary context was released while streams or events were in it");
    for (auto &[at, allocation] : driver.memory) free(allocation.whole);
    driver.streams.clear(), driver.events.clear(), driver.executables.clear(), driver.graphs.clear();
    driver.memory.clear(), driver.pinned.clear();
    driver.gpu.used = 0;
    return CUDA_SUCCESS;
}

API CUresult cuCtxDetach(CUcontext context) {
    CALL;
    if (context == &driver.primary) {
        complain("cuCtxDetach of a primary context, which is released and not detached");
        return CUDA_ERROR_INVALID_CONTEXT;
    }
    return CUDA_ERROR_NOT_SUPPORTED;
}

API CUresult cuCtxPushCurrent(CUcontext context) {
    CALL;
    if (context != &driver.primary || !context->retained) return CUDA_ERROR_INVALID_CONTEXT;
    stack.push_back(context);
    return CUDA_SUCCESS;
}

API CUresult cuCtxPopCurrent(CUcontext *context) {
    CALL;
    if (stack.empty()) return CUDA_ERROR_INVALID_CONTEXT;
    if (context) *context = stack.back();
    stack.pop_back();
    return CUDA_SUCCESS;
}

API CUresult cuCtxGetCurrent(CUcontext *context) {
    CALL;
    *context = stack.empty() ? nullptr : stack.back();
    return CUDA_SUCCESS;
}

API CUresult cuCtxGetDevice(CUdevice *device) {
    CALL;
    NEEDS_CONTEXT;
    *device = 0;
    return CUDA_SUCCESS;
}

API CUresult cuCtxSynchronize(void) {
    CALL;
    NEEDS_CONTEXT;
    NOT_CAPTURED;
    guard.unlock();
    return run_all();
}
