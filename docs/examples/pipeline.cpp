// Completes a picture with an exported pipeline (`edgefill export … --pipeline --out pass.onnx`), without edgefill.
//
//   g++ -std=c++17 -O2 pipeline.cpp -I ORT/include -L ORT/lib -lonnxruntime -o pipeline
//   ./pipeline pass.onnx photo.ppm mask.pgm filled.ppm
//
// ORT is an unpacked release of ONNX Runtime. Pictures are binary PPM (P6) or PGM (P5) of 8 bits, as
// `magick photo.jpg photo.ppm` writes them; the mask is a PGM, white (or 1 of 0 and 1)
// where the picture is to be filled.

#include <onnxruntime_cxx_api.h>

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <stdexcept>
#include <string>
#include <vector>

struct Picture {
    int64_t height = 0, width = 0, channels = 0;
    std::vector<uint8_t> values;  // height × width × channels
};

Picture read(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::string kind;
    Picture picture;
    int64_t white = 0;
    file >> kind >> picture.width >> picture.height >> white;
    file.get();
    const bool fits = picture.width > 0 && picture.height > 0 && picture.width <= 65536 && picture.height <= 65536;
    if (!file || (kind != "P5" && kind != "P6") || white != 255 || !fits)
        throw std::runtime_error("cannot read " + path + ": expected a binary PGM or PPM of 8 bits");
    picture.channels = kind == "P6" ? 3 : 1;
    picture.values.resize(picture.height * picture.width * picture.channels);
    file.read(reinterpret_cast<char*>(picture.values.data()), static_cast<std::streamsize>(picture.values.size()));
    if (!file) throw std::runtime_error("cannot read " + path + ": it ends too early");
    return picture;
}

void write(const std::string& path, const Picture& picture, const uint8_t* values) {
    std::ofstream file(path, std::ios::binary);
    file << (picture.channels == 3 ? "P6" : "P5") << '\n' << picture.width << ' ' << picture.height << "\n255\n";
    file.write(reinterpret_cast<const char*>(values), static_cast<std::streamsize>(picture.values.size()));
    if (!file) throw std::runtime_error("cannot write " + path);
}

int main(int count, char** words) try {
    if (count != 5) {
        std::cerr << "usage: pipeline MODEL.onnx PICTURE.ppm MASK.pgm OUT.ppm\n";
        return 2;
    }
    setenv("ORT_DISABLE_TELEMETRY", "1", 1);  // before the environment is made: nothing leaves this machine
    Ort::Env env(ORT_LOGGING_LEVEL_WARNING, "edgefill");
    Ort::SessionOptions options;
    Ort::Session session(env, words[1], options);

    Picture picture = read(words[2]), mask = read(words[3]);
    if (mask.channels != 1 || mask.height != picture.height || mask.width != picture.width)
        throw std::runtime_error("the mask has another size than the picture, or colours; expected a PGM of its size");

    const int64_t channels = session.GetInputTypeInfo(0).GetTensorTypeAndShapeInfo().GetShape()[2];
    if (channels != picture.channels)
        throw std::runtime_error(channels == 1 ? "the model takes grey pictures, and this one has colours; expected a PGM"
                                               : "the model takes pictures in colour, and this one is grey; expected a PPM");

    const std::vector<int64_t> shape{picture.height, picture.width, picture.channels};
    const std::vector<int64_t> flat{mask.height, mask.width};
    const Ort::MemoryInfo memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
    std::vector<Ort::Value> inputs;
    inputs.push_back(Ort::Value::CreateTensor<uint8_t>(
        memory, picture.values.data(), picture.values.size(), shape.data(), shape.size()));
    inputs.push_back(
        Ort::Value::CreateTensor<uint8_t>(memory, mask.values.data(), mask.values.size(), flat.data(), flat.size()));

    const char* input_names[] = {"picture", "mask"};
    const char* output_names[] = {"completed"};
    auto outputs =
        session.Run(Ort::RunOptions{nullptr}, input_names, inputs.data(), inputs.size(), output_names, 1);
    write(words[4], picture, outputs[0].GetTensorData<uint8_t>());
    return 0;
} catch (const std::exception& error) {
    std::cerr << "error: " << error.what() << '\n';
    return 1;
}
