#include "workbench/weight_files_writer.h"

#include <algorithm>
#include <utility>

#include "model/json.h"

namespace mlxd {
namespace {

namespace json = boost::json;

std::string five_digits(std::size_t number) {
  std::string text = std::to_string(number);
  if (text.size() < 5) text.insert(0, 5 - text.size(), '0');
  return text;
}

std::string file_name(std::size_t index, std::size_t count) {
  if (count == 1) return "model.safetensors";
  return "model-" + five_digits(index + 1) + "-of-" + five_digits(count) + ".safetensors";
}

}  // namespace

Result<WeightFilesWriter> WeightFilesWriter::create(const std::filesystem::path& folder,
                                                    std::vector<TensorLayout> tensors,
                                                    std::uint64_t max_file_bytes) {
  WeightFilesWriter writer;
  std::vector<std::vector<TensorLayout>> shards(1);
  std::uint64_t shard_bytes = 0;
  for (TensorLayout& tensor : tensors) {
    const std::uint64_t bytes = tensor.num_bytes();
    if (!shards.back().empty() && shard_bytes + bytes > max_file_bytes) {
      shards.emplace_back();
      shard_bytes = 0;
    }
    if (!writer.file_of_tensor_.emplace(tensor.name, shards.size() - 1).second)
      return invalid_argument("tensor " + tensor.name + " is given twice");
    shard_bytes += bytes;
    writer.tensor_bytes_ += bytes;
    shards.back().push_back(std::move(tensor));
  }
  for (std::size_t i = 0; i < shards.size(); ++i) {
    writer.file_names_.push_back(file_name(i, shards.size()));
    writer.files_.push_back(
        TRY(SafetensorsWriter::create(folder / writer.file_names_.back(), std::move(shards[i]))));
  }
  return writer;
}

Result<void> WeightFilesWriter::write(std::string_view name, std::span<const std::byte> data) {
  return TRY(file_of(name))->write(name, data);
}

Result<void> WeightFilesWriter::write_part(std::string_view name, std::uint64_t offset,
                                           std::span<const std::byte> data) {
  return TRY(file_of(name))->write_part(name, offset, data);
}

Result<void> WeightFilesWriter::finish() {
  for (SafetensorsWriter& file : files_) TRY(file.finish());
  return {};
}

std::string WeightFilesWriter::index_json(std::int64_t num_parameters) const {
  json::object weight_map;
  for (const auto& [tensor, file] : file_of_tensor_) weight_map[tensor] = file_names_[file];
  json::object index;
  index["metadata"] = json::object{{"total_size", tensor_bytes_}, {"total_parameters", num_parameters}};
  index["weight_map"] = std::move(weight_map);
  return to_pretty_json(index);
}

std::uint64_t WeightFilesWriter::file_bytes() const {
  std::uint64_t bytes = 0;
  for (const SafetensorsWriter& file : files_) bytes += file.file_bytes();
  return bytes;
}

Result<SafetensorsWriter*> WeightFilesWriter::file_of(std::string_view tensor) {
  const auto found = file_of_tensor_.find(tensor);
  if (found == file_of_tensor_.end())
    return Error(ErrorKind::kInternal, "tensor " + std::string(tensor) + " was not announced");
  return &files_[found->second];
}

}  // namespace mlxd
