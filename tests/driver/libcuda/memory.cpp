// Device memory that is the host's, guarded on both sides and never clean when it is new; pinned memory; copies.
#include <stdlib.h>
#include <string.h>

#include "driver.h"

static const size_t GUARD = 256;
static const unsigned char GUARDED = 0xC5, NEW = 0xFF;  // as float32 the second is NaN

char *device_range(CUdeviceptr at, size_t size) {
    auto after = driver.memory.upper_bound(at);
    if (after != driver.memory.begin()) {
        const auto &[begin, allocation] = *--after;
        if (at + size <= begin + allocation.size) return reinterpret_cast<char *>(at);
    }
    complain("a copy of " + std::to_string(size) + " bytes that does not lie in one allocation");
    driver.sticky = CUDA_ERROR_ILLEGAL_ADDRESS;
    return nullptr;
}

static bool is_pinned(const void *at, size_t size) {
    const char *begin = static_cast<const char *>(at);
    auto after = driver.pinned.upper_bound(const_cast<char *>(begin));
    return after != driver.pinned.begin() && (--after, begin + size <= after->first + after->second);
}

static bool whole(const char *guard) {
    for (size_t i = 0; i < GUARD; i++)
        if (static_cast<unsigned char>(guard[i]) != GUARDED) return false;
    return true;
}

API CUresult cuMemAlloc(CUdeviceptr *at, size_t size) {
    CALL;
    NEEDS_CONTEXT;
    NOT_CAPTURED;
    if (driver.gpu.used + size > driver.gpu.total) return CUDA_ERROR_OUT_OF_MEMORY;
    char *memory = static_cast<char *>(aligned_alloc(GUARD, 2 * GUARD + (size + GUARD - 1) / GUARD * GUARD));
    memset(memory, GUARDED, GUARD);
    memset(memory + GUARD, NEW, size);
    memset(memory + GUARD + size, GUARDED, GUARD);
    *at = reinterpret_cast<CUdeviceptr>(memory + GUARD);
    driver.memory[*at] = {memory, size};
    driver.gpu.used += size;
    return CUDA_SUCCESS;
}

// Waits for the device, as the driver does.
API CUresult cuMemFree(CUdeviceptr at) {
    CALL;
    NEEDS_CONTEXT;
    NOT_CAPTURED;
    auto found = driver.memory.find(at);
    if (found == driver.memory.end()) return CUDA_ERROR_INVALID_VALUE;
    guard.unlock();
    if (CUresult status = run_all()) return status;
    guard.lock();
    const Allocation allocation = found->second;
    if (!whole(allocation.whole) || !whole(allocation.whole + GUARD + allocation.size))
        complain("something was written beside an allocation");
    driver.gpu.used -= allocation.size;
    driver.memory.erase(found);
    free(allocation.whole);
    return CUDA_SUCCESS;
}

API CUresult cuMemGetInfo(size_t *unused, size_t *total) {
    CALL;
    NEEDS_CONTEXT;
    *unused = driver.gpu.total - driver.gpu.used, *total = driver.gpu.total;
    return CUDA_SUCCESS;
}

API CUresult cuMemHostAlloc(void **at, size_t size, unsigned) {
    CALL;
    NEEDS_CONTEXT;
    NOT_CAPTURED;
    char *memory = static_cast<char *>(aligned_alloc(GUARD, (size + GUARD - 1) / GUARD * GUARD + GUARD));
    memset(memory, NEW, size);
    driver.pinned[memory] = size;
    *at = memory;
    return CUDA_SUCCESS;
}

API CUresult cuMemFreeHost(void *at) {
    CALL;
    NOT_CAPTURED;
    auto found = driver.pinned.find(static_cast<char *>(at));
    if (found == driver.pinned.end()) return CUDA_ERROR_INVALID_VALUE;
    guard.unlock();
    if (CUresult status = run_all()) return status;
    guard.lock();
    driver.pinned.erase(found);
    free(at);
    return CUDA_SUCCESS;
}

// Memory that is not pinned is copied aside before the call returns.
API CUresult cuMemcpyHtoDAsync(CUdeviceptr to, const void *from, size_t size, CUstream stream) {
    CALL;
    NEEDS_CONTEXT;
    driver.counts["uploads"] += 1, driver.counts["bytes up"] += size;
    if (!is_pinned(from, size)) {
        if (stream && stream->capture) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
        auto aside = std::make_shared<std::string>(static_cast<const char *>(from), size);
        return enqueue(stream, [=] {
            if (char *there = device_range(to, size)) memcpy(there, aside->data(), size);
        });
    }
    return enqueue(stream, [=] {
        if (char *there = device_range(to, size)) memcpy(there, from, size);
    });
}

API CUresult cuMemcpyDtoHAsync(void *to, CUdeviceptr from, size_t size, CUstream stream) {
    CALL;
    NEEDS_CONTEXT;
    driver.counts["downloads"] += 1, driver.counts["bytes down"] += size;
    if (!is_pinned(to, size)) complain("a download into memory that is not pinned");
    return enqueue(stream, [=] {
        if (char *there = device_range(from, size)) memcpy(to, there, size);
    });
}

API CUresult cuMemsetD8Async(CUdeviceptr at, unsigned char value, size_t size, CUstream stream) {
    CALL;
    NEEDS_CONTEXT;
    return enqueue(stream, [=] {
        if (char *there = device_range(at, size)) memset(there, value, size);
    });
}
