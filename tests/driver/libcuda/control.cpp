// What a test says and asks; and what a binding asks before it calls anything.
#include <dlfcn.h>
#include <string.h>

#include "driver.h"

void complain(const std::string &what) {
    std::lock_guard<std::recursive_mutex> guard(driver.lock);
    driver.wrong.push_back(what);
}

CUresult called(std::string function) {
    const size_t end = function.size();
    if (end > 3 && function[end - 3] == '_' && function[end - 2] == 'v') function.resize(end - 3);
    driver.counts[function]++;
    driver.log.push_back(function);
    auto found = driver.failing.find(function);
    return found == driver.failing.end() ? CUDA_SUCCESS : found->second;
}

static const char *joined(const std::vector<std::string> &lines) {
    static thread_local std::string text;
    text.clear();
    for (const std::string &line : lines) text += line + "\n";
    return text.c_str();
}

// A GPU is there from here on; everything counts from 0.
API void stub_plug(int count, int sm, int cuda, size_t memory, bool integrated, const char *kernels) {
    std::lock_guard<std::recursive_mutex> guard(driver.lock);
    driver.gpu = Gpu{count, sm / 10, sm % 10, cuda, memory, driver.gpu.used, integrated};
    driver.primary.flags = 0;
    while (!stack.empty() && !stack.back()->retained) stack.pop_back();
    if (kernels && *kernels) driver.kernels = dlopen(kernels, RTLD_NOW | RTLD_LOCAL);
    driver.sticky = CUDA_SUCCESS;
    driver.counts.clear(), driver.failing.clear(), driver.log.clear(), driver.wrong.clear();
}

API void stub_fail(const char *call, int status) {
    std::lock_guard<std::recursive_mutex> guard(driver.lock);
    if (status)
        driver.failing[call] = static_cast<CUresult>(status);
    else
        driver.failing.erase(call);
}

// How often a call was made or a kernel has run; or how many of a kind there are now.
API long stub_count(const char *what) {
    std::lock_guard<std::recursive_mutex> guard(driver.lock);
    const std::map<std::string, size_t> now = {
        {"contexts", driver.primary.retained},    {"streams", driver.streams.size()},
        {"events", driver.events.size()},         {"allocations", driver.memory.size()},
        {"bytes", driver.gpu.used},               {"pinned", driver.pinned.size()},
        {"graphs", driver.graphs.size()},         {"executables", driver.executables.size()},
        {"current contexts", stack.size()},       {"context flags", driver.primary.flags},
    };
    if (auto found = now.find(what); found != now.end()) return found->second;
    auto found = driver.counts.find(what);
    return found == driver.counts.end() ? 0 : found->second;
}

API void stub_clear(void) {
    std::lock_guard<std::recursive_mutex> guard(driver.lock);
    driver.counts.clear(), driver.log.clear();
}

API const char *stub_log(void) {
    std::lock_guard<std::recursive_mutex> guard(driver.lock);
    return joined(driver.log);
}

API const char *stub_wrong(void) {
    std::lock_guard<std::recursive_mutex> guard(driver.lock);
    return joined(driver.wrong);
}

API CUresult cuGetErrorString(CUresult status, const char **text) {
    static thread_local std::string said;
    *text = (said = "error " + std::to_string(status)).c_str();
    return CUDA_SUCCESS;
}

API CUresult cuGetErrorName(CUresult status, const char **text) { return cuGetErrorString(status, text); }

// The newest form of a call that is here.
API CUresult cuGetProcAddress(
    const char *symbol, void **function, int, cuuint64_t, CUdriverProcAddressQueryResult *found) {
    const std::string name = strcmp(symbol, "cuGraphInstantiate") ? symbol : "cuGraphInstantiateWithFlags";
    *function = nullptr;
    for (const char *version : {"_v4", "_v3", "_v2", ""})
        if (!*function) *function = dlsym(RTLD_DEFAULT, (name + version).c_str());
    if (found) *found = *function ? CU_GET_PROC_ADDRESS_SUCCESS : CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
    return CUDA_SUCCESS;
}
