// Lazy streams, and events that are places in them.
#include <chrono>

#include "driver.h"

double now() {
    using namespace std::chrono;
    return duration<double, std::milli>(steady_clock::now().time_since_epoch()).count();
}

CUresult enqueue(CUstream stream, Work work, bool loops) {
    if (stream == CU_STREAM_LEGACY || !stream) return CUDA_ERROR_NOT_SUPPORTED;  // nobody should use it here
    KNOWN(streams, stream);
    if (stream->capture && stream->invalidated) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    if (stream->capture)
        stream->capture->nodes.push_back({std::move(work), loops});
    else
        stream->queue.push_back(std::move(work));
    return CUDA_SUCCESS;
}

CUresult run(CUstream stream, const std::function<bool()> &done) {
    std::lock_guard<std::recursive_mutex> running(stream->running);
    while (true) {
        Work work;
        {
            std::lock_guard<std::recursive_mutex> guard(driver.lock);
            if (driver.sticky) return driver.sticky;
            if ((done && done()) || stream->queue.empty()) return CUDA_SUCCESS;
            work = std::move(stream->queue.front());
            stream->queue.pop_front();
        }
        work();
    }
}

CUresult run_all() {
    std::vector<CUstream> streams;
    {
        std::lock_guard<std::recursive_mutex> guard(driver.lock);
        streams.assign(driver.streams.begin(), driver.streams.end());
    }
    for (CUstream stream : streams)
        if (CUresult status = run(stream)) return status;
    return CUDA_SUCCESS;
}

bool breaks_capture() {
    bool any = false;
    for (CUstream stream : driver.streams) {
        const bool here = stream->mode == CU_STREAM_CAPTURE_MODE_GLOBAL ||
                          (stream->mode == CU_STREAM_CAPTURE_MODE_THREAD_LOCAL &&
                           stream->origin == std::this_thread::get_id());
        if (stream->capture && here) any = stream->invalidated = true;
    }
    return any;
}

API CUresult cuStreamCreate(CUstream *stream, unsigned flags) {
    CALL;
    NEEDS_CONTEXT;
    NOT_CAPTURED;
    if (flags != CU_STREAM_NON_BLOCKING) complain("a stream that waits for the default one");
    *stream = new CUstream_st{};
    (*stream)->context = current();
    driver.streams.insert(*stream);
    return CUDA_SUCCESS;
}

API CUresult cuStreamDestroy(CUstream stream) {
    CALL;
    KNOWN(streams, stream);
    if (!stream->queue.empty()) complain("a stream was destroyed before its work had run");
    driver.streams.erase(stream);
    delete stream;
    return CUDA_SUCCESS;
}

API CUresult cuStreamSynchronize(CUstream stream) {
    CALL;
    KNOWN(streams, stream);
    if (stream->capture) {
        stream->invalidated = true;
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    }
    NOT_CAPTURED;
    driver.counts["waits"] += 1;
    guard.unlock();
    return run(stream);
}

API CUresult cuStreamQuery(CUstream stream) {
    CALL;
    KNOWN(streams, stream);
    return stream->queue.empty() ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
}

API CUresult cuStreamWaitEvent(CUstream stream, CUevent event, unsigned) {
    CALL;
    KNOWN(events, event);
    return enqueue(stream, [event] {
        if (event->stream) run(event->stream, [event] { return event->pending == 0; });
    });
}

API CUresult cuLaunchHostFunc(CUstream stream, CUhostFn function, void *data) {
    CALL;
    return enqueue(stream, [=] { function(data); }, false);
}

// What a library enqueues, of which a test says what it does.
API CUresult stub_enqueue(CUstream stream, CUhostFn function, void *data) {
    CALL;
    return enqueue(stream, [=] { function(data); });
}

API CUresult cuEventCreate(CUevent *event, unsigned) {
    CALL;
    NEEDS_CONTEXT;
    *event = new CUevent_st{};
    (*event)->context = current();
    driver.events.insert(*event);
    return CUDA_SUCCESS;
}

API CUresult cuEventDestroy(CUevent event) {
    CALL;
    KNOWN(events, event);
    driver.events.erase(event);
    return CUDA_SUCCESS;  // its memory stays: work that was enqueued may still reach it
}

API CUresult cuEventRecord(CUevent event, CUstream stream) {
    CALL;
    NEEDS_CONTEXT;
    KNOWN(events, event);
    KNOWN(streams, stream);
    event->stream = stream, event->recorded = true;
    event->captured = stream->capture;
    if (!stream->capture) event->pending++;
    return enqueue(stream, [event] {
        std::lock_guard<std::recursive_mutex> guard(driver.lock);
        if (event->pending) event->pending--;
        event->reached = now();
    });
}

API CUresult cuEventQuery(CUevent event) {
    CALL;
    KNOWN(events, event);
    if (event->captured) return CUDA_ERROR_CAPTURED_EVENT;
    return event->pending ? CUDA_ERROR_NOT_READY : CUDA_SUCCESS;
}

// Runs the stream as far as this event and no further.
API CUresult cuEventSynchronize(CUevent event) {
    CALL;
    KNOWN(events, event);
    if (event->captured) return CUDA_ERROR_CAPTURED_EVENT;
    NOT_CAPTURED;
    driver.counts["waits"] += 1;
    if (!event->stream) return CUDA_SUCCESS;
    guard.unlock();
    return run(event->stream, [event] { return event->pending == 0; });
}

API CUresult cuEventElapsedTime(float *milliseconds, CUevent start, CUevent end) {
    CALL;
    KNOWN(events, start);
    KNOWN(events, end);
    if (!start->recorded || !end->recorded) return CUDA_ERROR_INVALID_HANDLE;
    if (start->pending || end->pending) return CUDA_ERROR_NOT_READY;
    *milliseconds = static_cast<float>(end->reached - start->reached);
    return CUDA_SUCCESS;
}
