// Captures and the graphs that come of them.
#include "driver.h"

API CUresult cuStreamBeginCapture(CUstream stream, CUstreamCaptureMode mode) {
    CALL;
    KNOWN(streams, stream);
    if (stream->capture) return CUDA_ERROR_ILLEGAL_STATE;
    stream->capture = new CUgraph_st{};
    stream->captures_body = false;
    stream->mode = mode, stream->origin = std::this_thread::get_id(), stream->invalidated = false;
    return CUDA_SUCCESS;
}

// Into the body of a loop, which is another graph's.
API CUresult cuStreamBeginCaptureToGraph(CUstream stream, CUgraph graph, const CUgraphNode *, const CUgraphEdgeData *,
                                         size_t dependencies, CUstreamCaptureMode mode) {
    CALL;
    KNOWN(streams, stream);
    KNOWN(graphs, graph);
    if (stream->capture) return CUDA_ERROR_ILLEGAL_STATE;
    if (dependencies) return CUDA_ERROR_NOT_SUPPORTED;
    stream->capture = graph;
    stream->captures_body = true;
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
        if (!stream->captures_body) delete captured;
        return stream->invalidated ? CUDA_ERROR_STREAM_CAPTURE_INVALIDATED : failing;
    }
    driver.graphs.insert(*graph = captured);
    return CUDA_SUCCESS;
}

API CUresult cuGraphCreate(CUgraph *graph, unsigned) {
    CALL;
    driver.graphs.insert(*graph = new CUgraph_st{});
    return CUDA_SUCCESS;
}

API CUresult cuGraphConditionalHandleCreate(
    CUgraphConditionalHandle *handle, CUgraph graph, CUcontext context, unsigned first, unsigned flags) {
    CALL;
    KNOWN(graphs, graph);
    if (driver.gpu.cuda < 12040) return CUDA_ERROR_NOT_SUPPORTED;
    if (context != &driver.primary || graph->condition || flags != CU_GRAPH_COND_ASSIGN_DEFAULT)
        return CUDA_ERROR_INVALID_VALUE;
    graph->condition = std::make_shared<Condition>(Condition{0, first});
    *handle = reinterpret_cast<CUgraphConditionalHandle>(&graph->condition->value);
    return CUDA_SUCCESS;
}

// A loop, which is all that is added one by one.
API CUresult cuGraphAddNode(CUgraphNode *node, CUgraph graph, const CUgraphNode *, const CUgraphEdgeData *,
                            size_t dependencies, CUgraphNodeParams *given) {
    CALL;
    KNOWN(graphs, graph);
    CUDA_CONDITIONAL_NODE_PARAMS &loop = given->conditional;
    if (given->type != CU_GRAPH_NODE_TYPE_CONDITIONAL || loop.type != CU_GRAPH_COND_TYPE_WHILE || dependencies)
        return CUDA_ERROR_NOT_SUPPORTED;
    const bool own = graph->condition && loop.handle == reinterpret_cast<unsigned long long>(&graph->condition->value);
    if (!own || loop.size != 1 || loop.ctx != &driver.primary || graph->body) return CUDA_ERROR_INVALID_VALUE;
    driver.graphs.insert(graph->body = new CUgraph_st{});
    graph->nodes.push_back({nullptr, false, graph->body});
    loop.phGraph_out = &graph->body;
    *node = reinterpret_cast<CUgraphNode>(graph->body);
    return CUDA_SUCCESS;
}

static const long ENDLESS = 100000;

// Runs the body while the condition is not 0, which has its first value at each launch.
static Work loop_of(std::shared_ptr<Condition> condition, std::vector<Node> body) {
    return [=] {
        long turns = 0;
        for (condition->value = condition->first; condition->value && !driver.sticky; turns++) {
            for (const Node &node : body) node.work();
            if (turns < ENDLESS) continue;
            complain("a loop that never ends");
            driver.sticky = CUDA_ERROR_LAUNCH_TIMEOUT;
        }
        std::lock_guard<std::recursive_mutex> guard(driver.lock);
        driver.counts["turns of loops"] += turns;
    };
}

API CUresult cuGraphInstantiateWithFlags(CUgraphExec *executable, CUgraph graph, unsigned long long) {
    CALL;
    KNOWN(graphs, graph);
    NOT_CAPTURED;
    if (graph->condition && !graph->body) return CUDA_ERROR_INVALID_VALUE;
    std::vector<Work> nodes;
    for (const Node &node : graph->nodes) {
        for (const Node &inner : node.body ? node.body->nodes : std::vector<Node>())
            if (!inner.loops) return CUDA_ERROR_INVALID_VALUE;
        nodes.push_back(node.body ? loop_of(graph->condition, node.body->nodes) : node.work);
    }
    *executable = new CUgraphExec_st{nodes};
    driver.executables.insert(*executable);
    return CUDA_SUCCESS;
}

API CUresult cuGraphDestroy(CUgraph graph) {
    CALL;
    KNOWN(graphs, graph);
    for (CUgraph each : {graph->body, graph}) {
        driver.graphs.erase(each);
        delete each;
    }
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
