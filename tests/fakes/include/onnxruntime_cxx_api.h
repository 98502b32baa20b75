// What the C++ example calls of ONNX Runtime, declared and not defined: enough for a compiler to look at it.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

enum OrtLoggingLevel { ORT_LOGGING_LEVEL_WARNING };
enum OrtAllocatorType { OrtArenaAllocator };
enum OrtMemType { OrtMemTypeDefault };

namespace Ort {
struct Env {
    Env(OrtLoggingLevel, const char*);
};
struct SessionOptions {
    SessionOptions();
};
struct RunOptions {
    explicit RunOptions(std::nullptr_t);
};
struct MemoryInfo {
    static MemoryInfo CreateCpu(OrtAllocatorType, OrtMemType);
};
struct Value {
    template <typename T>
    static Value CreateTensor(const MemoryInfo&, T*, size_t, const int64_t*, size_t);
    template <typename T>
    const T* GetTensorData() const;
};
struct TensorTypeAndShapeInfo {
    std::vector<int64_t> GetShape() const;
};
struct TypeInfo {
    TensorTypeAndShapeInfo GetTensorTypeAndShapeInfo() const;
};
struct Session {
    TypeInfo GetInputTypeInfo(size_t) const;
    Session(const Env&, const char*, const SessionOptions&);
    std::vector<Value> Run(
        const RunOptions&, const char* const*, const Value*, size_t, const char* const*, size_t);
};
}  // namespace Ort
