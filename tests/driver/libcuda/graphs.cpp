// Captures and the graphs that come of them.
#include "driver.h"

API CUresult cuStreamBeginCapture(CUstream stream, CUstreamCaptureMode mode) {
    CALL;
    KNOWN(streams, stream);
    if (stream->capture) return CUDA_ERROR_ILLEGAL_STATE;
    stream->capture = new CUgraph_st{};
    stream->mode = mode, stream->origin = std::this_thread::get_id(), stream->invalidated = false;
    return CUDA_SUCCESS;
}

API CUresult cuStreamIsCapturing(CUstream stream, CUstreamCaptureStatus *status) {
    CALL;
    KNOWN(streams, stream);
    *status = !stream->capture      ? CU_STREAM_CAPTURE_STATUS_NONE
              : stream->invalidated ? CU_STREAM_CAPTURE_STATUS_INVALIDATED
                                    : CU_STREAM_CAPTURE_STATUS_ACTIVE;
    return CUDA_SUCCESS;
}

API CUresult cuStreamEndCapture(CUstream stream, CUgraph *graph) {
    std::unique_lock<std::recursive_mutex> guard(driver.lock);
    const CUresult failing = called(__func__);
    *graph = nullptr;
    KNOWN(streams, stream);
    if (!stream->capture) return CUDA_ERROR_ILLEGAL_STATE;
    if (stream->origin != std::this_thread::get_id()) return CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD;
    CUgraph captured = stream->capture;
    stream->capture = nullptr;
    if (stream->invalidated || failing) {
        delete captured;
        return stream->invalidated ? CUDA_ERROR_STREAM_CAPTURE_INVALIDATED : failing;
    }
    driver.graphs.insert(*graph = captured);
    return CUDA_SUCCESS;
}

API CUresult cuGraphInstantiateWithFlags(CUgraphExec *executable, CUgraph graph, unsigned long long) {
    CALL;
    KNOWN(graphs, graph);
    NOT_CAPTURED;
    *executable = new CUgraphExec_st{graph->nodes};
    driver.executables.insert(*executable);
    return CUDA_SUCCESS;
}

API CUresult cuGraphDestroy(CUgraph graph) {
    CALL;
    KNOWN(graphs, graph);
    driver.graphs.erase(graph);
    delete graph;
    return CUDA_SUCCESS;
}

API CUresult cuGraphExecDestroy(CUgraphExec executable) {
    CALL;
    KNOWN(executables, executable);
    driver.executables.erase(executable);
    delete executable;
    return CUDA_SUCCESS;
}

API CUresult cuGraphLaunch(CUgraphExec executable, CUstream stream) {
    CALL;
    NEEDS_CONTEXT;
    KNOWN(executables, executable);
    for (const Work &node : executable->nodes)
        if (CUresult status = enqueue(stream, node)) return status;
    return CUDA_SUCCESS;
}
