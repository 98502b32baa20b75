// What the parts of the stub share: one GPU whose memory is the host's and whose streams are lazy.
//
// Everything that a program may get wrong is counted or refused: a context that is not current, a handle that
// was destroyed, a copy beyond an allocation, a call that a capture forbids. What is enqueued runs when somebody
// waits for it, as late as a GPU might. Work is run without the lock, since it may call into Python.
#pragma once
#include <cuda.h>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

using Work = std::function<void()>;

struct CUctx_st {
    int retained = 0;
    unsigned flags = 0;
};

// The value that a handle stands for: a handle is its address.
struct Condition {
    unsigned value, first;
};

// What is captured, and whether the body of a loop may have it: no function of the host is there.
struct Node {
    Work work;
    bool loops = true;
    CUgraph body = nullptr;  // of a loop, which is not a work until it is instantiated
};

struct CUgraph_st {
    std::vector<Node> nodes;
    std::shared_ptr<Condition> condition;  // of its loop
    CUgraph body = nullptr;                // what CUDA calls an array, of one
};

struct CUgraphExec_st {
    std::vector<Work> nodes;
};

struct CUstream_st {
    CUcontext context = nullptr;
    std::deque<Work> queue;
    std::recursive_mutex running;  // whoever runs the queue
    CUgraph capture = nullptr;     // what enqueued work goes to instead
    bool captures_body = false;    // which is another graph's
    CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_GLOBAL;
    std::thread::id origin;
    bool invalidated = false;
};

struct CUevent_st {
    CUcontext context = nullptr;
    CUstream stream = nullptr;  // where it was recorded last
    bool recorded = false, captured = false;
    unsigned long pending = 0;  // records that were not reached yet
    double reached = 0;         // ms
};

struct CUmod_st {
    std::string image;
};

struct CUfunc_st {
    std::string name;
    bool (*launch)(unsigned grid, unsigned block, unsigned order, const void *arguments);
};

struct Allocation {
    char *whole;  // with what guards it before and after
    size_t size;
};

struct Gpu {
    int count = 0;  // of GPUs; 0 until a test plugs one in
    int major = 8, minor = 9, cuda = 12060;
    size_t total = 0, used = 0;
    bool integrated = false;  // its memory is the host's, as a Jetson's is
};

struct Driver {
    std::recursive_mutex lock;
    Gpu gpu;
    CUctx_st primary;
    CUresult sticky = CUDA_SUCCESS;  // what a failed launch leaves behind, for every later call
    std::set<CUstream> streams;
    std::set<CUevent> events;
    std::set<CUgraph> graphs;
    std::set<CUgraphExec> executables;
    std::map<CUdeviceptr, Allocation> memory;
    std::map<char *, size_t> pinned;
    std::map<std::string, long> counts;         // what happened, by name
    std::map<std::string, CUresult> failing;    // name of a call → what it answers instead
    std::vector<std::string> log;               // calls and what ran, in order
    std::vector<std::string> wrong;             // what no program should do
    void *kernels = nullptr;                    // the library of the host-built kernels
};

extern Driver driver;
extern thread_local std::vector<CUcontext> stack;  // of the current contexts of a thread

// The current context, if it is alive.
CUcontext current();

// Whether a call that a capture on any stream forbids may be made by this thread; it breaks the capture if not.
bool breaks_capture();

// Puts work onto a stream, or into the graph that is captured from it; whether a loop may have it.
CUresult enqueue(CUstream stream, Work work, bool loops = true);

// Runs what was enqueued on a stream, until `done` says so.
CUresult run(CUstream stream, const std::function<bool()> &done = nullptr);
CUresult run_all();

// Where a device range does not lie in one allocation: an error that sticks.
char *device_range(CUdeviceptr at, size_t size);

void complain(const std::string &what);
double now();  // ms

// Counts and logs a call, by its name without the version; what a test wants it to answer, else success.
CUresult called(std::string function);

// One call: locked, counted, logged; answers at once where a test wants it to fail.
#define CALL                                                         \
    std::unique_lock<std::recursive_mutex> guard(driver.lock);       \
    if (CUresult failing = called(__func__)) return failing;         \
    if (driver.sticky) return driver.sticky

#define NEEDS_CONTEXT \
    if (!current()) return CUDA_ERROR_INVALID_CONTEXT

#define NOT_CAPTURED \
    if (breaks_capture()) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED

#define KNOWN(handles, handle) \
    if (!driver.handles.count(handle)) return CUDA_ERROR_INVALID_HANDLE

#define API extern "C" __attribute__((visibility("default")))
