// Runs signatures of a SavedModel through tensorflow::LoadSavedModel, the loader behind TF Serving.
//
//   serve FOLDER < requests
//
// A request is "signature n" followed by n inputs "name rows columns value..."; integers are given in the dtype that the
// signature asks for. Each output is printed on a line "signature name rank size... value...", in the order of names.

#include <cstdint>
#include <iostream>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "tensorflow/cc/saved_model/loader.h"
#include "tensorflow/core/framework/tensor.h"
#include "tensorflow/core/public/session.h"

namespace {

template <typename T>
tensorflow::Tensor ReadTensor(tensorflow::DataType dtype, int64_t rows, int64_t columns) {
  tensorflow::Tensor tensor(dtype, tensorflow::TensorShape({rows, columns}));
  auto values = tensor.flat<T>();
  for (int64_t i = 0; i < rows * columns; ++i) std::cin >> values(i);
  return tensor;
}

void Print(const std::string& signature, const std::string& name, const tensorflow::Tensor& tensor) {
  std::cout << signature << ' ' << name << ' ' << tensor.dims();
  for (int i = 0; i < tensor.dims(); ++i) std::cout << ' ' << tensor.dim_size(i);
  const auto values = tensor.flat<float>();
  for (int64_t i = 0; i < values.size(); ++i) std::cout << ' ' << values(i);
  std::cout << '\n';
}

int Fail(const std::string& message) {
  std::cerr << message << '\n';
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return Fail("usage: serve FOLDER < requests");
  tensorflow::SavedModelBundle bundle;
  const auto loaded = tensorflow::LoadSavedModel(tensorflow::SessionOptions(), tensorflow::RunOptions(), argv[1],
                                                 {"serve"}, &bundle);
  if (!loaded.ok()) return Fail(loaded.ToString());
  std::cout.precision(std::numeric_limits<float>::max_digits10);

  std::string signature_name;
  int count = 0;
  while (std::cin >> signature_name >> count) {
    const auto found = bundle.GetSignatures().find(signature_name);
    if (found == bundle.GetSignatures().end()) return Fail("no signature " + signature_name);
    const auto& signature = found->second;
    if (signature.method_name() != "tensorflow/serving/predict") return Fail("method " + signature.method_name());

    std::vector<std::pair<std::string, tensorflow::Tensor>> inputs;
    for (int i = 0; i < count; ++i) {
      std::string name;
      int64_t rows = 0, columns = 0;
      std::cin >> name >> rows >> columns;
      const auto input = signature.inputs().find(name);
      if (input == signature.inputs().end()) return Fail("no input " + name);
      const auto dtype = input->second.dtype();
      inputs.emplace_back(input->second.name(), dtype == tensorflow::DT_INT64
                                                    ? ReadTensor<int64_t>(dtype, rows, columns)
                                                    : ReadTensor<int32_t>(dtype, rows, columns));
    }

    std::vector<std::string> names, fetches;
    for (const auto& output : std::map<std::string, tensorflow::TensorInfo>(signature.outputs().begin(),
                                                                            signature.outputs().end())) {
      names.push_back(output.first);
      fetches.push_back(output.second.name());
    }
    std::vector<tensorflow::Tensor> outputs;
    const auto ran = bundle.GetSession()->Run(inputs, fetches, {}, &outputs);
    if (!ran.ok()) return Fail(ran.ToString());
    for (size_t i = 0; i < outputs.size(); ++i) Print(signature_name, names[i], outputs[i]);
  }
  return 0;
}
