#include "model/weight_map.h"

#include <algorithm>
#include <system_error>

#include "model/json.h"
#include "model/safetensors.h"

namespace mlxd {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxIndexBytes = 64U << 20U;
constexpr std::size_t kMaxShards = 4096;  // each is a mapping; the largest published models have some 200

bool is_weight_file(const std::string& name) {
  return name.starts_with("model") && name.ends_with(".safetensors");
}

Result<std::vector<fs::path>> weight_files(const fs::path& folder) {
  std::error_code error;
  if (!fs::is_directory(folder, error)) {
    return not_found(folder.string() + " is not a folder; give the folder of an MLX model");
  }
  std::vector<fs::path> files;
  fs::directory_iterator entries(folder, error);
  for (; !error && entries != fs::directory_iterator(); entries.increment(error)) {
    if (!is_weight_file(entries->path().filename().string())) continue;
    files.push_back(entries->path());
    if (files.size() > kMaxShards) return corrupt_data(folder.string() + ": more than 4096 weight files");
  }
  if (error) return Error(ErrorKind::kIo, "cannot list " + folder.string() + ": " + error.message());
  if (files.empty()) {
    return not_found(folder.string() + " holds no model*.safetensors; download or import the model again");
  }
  std::sort(files.begin(), files.end());
  return files;
}

// The index is not needed to find tensors, but it tells a missing shard from a missing tensor, and one that
// points outside the folder is refused.
Result<void> check_index(const fs::path& folder,
                         const std::map<std::string, TensorView, std::less<>>& tensors) {
  const fs::path index_file = folder / "model.safetensors.index.json";
  std::error_code error;
  if (!fs::exists(index_file, error)) return {};
  const boost::json::object index = TRY(read_json_object(index_file, kMaxIndexBytes));
  const boost::json::value* weight_map = index.if_contains("weight_map");
  if (weight_map == nullptr || !weight_map->is_object()) {
    return corrupt_data(index_file.string() + ": weight_map is missing");
  }
  for (const auto& [key, value] : weight_map->get_object()) {
    const std::string tensor(key);
    if (!value.is_string()) return corrupt_data(index_file.string() + ": " + tensor + ": must name a file");
    const std::string name(value.get_string());
    if (name.empty() || name.find_first_of("/\\") != std::string::npos || name == "..") {
      return corrupt_data(index_file.string() + ": " + tensor + ": \"" + name.substr(0, 200) +
                          "\" is not a file of this folder");
    }
    if (!tensors.contains(tensor) && !fs::exists(folder / name, error)) {
      return corrupt_data((folder / name).string() + " is missing (it holds tensor " + tensor +
                          "); download the model again");
    }
  }
  return {};
}

}  // namespace

Result<WeightMap> WeightMap::open(const fs::path& folder) {
  WeightMap map;
  map.folder_ = folder;
  for (const fs::path& path : TRY(weight_files(folder))) {
    MappedFile file = TRY(MappedFile::open(path));
    for (TensorView& tensor : TRY(read_safetensors(file))) {
      map.total_bytes_ += tensor.data.size();
      std::string name = tensor.name;
      if (!map.tensors_.try_emplace(name, std::move(tensor)).second) {
        return corrupt_data(path.string() + ": tensor " + name + ": another file of the folder has it too");
      }
    }
    map.files_.push_back(std::move(file));
  }
  TRY(check_index(folder, map.tensors_));
  return map;
}

Result<void> WeightMap::rename(const std::function<std::string(TensorView&)>& rename) {
  std::map<std::string, TensorView, std::less<>> renamed;
  for (auto& [old_name, tensor] : tensors_) {
    std::string name = rename(tensor);
    const auto [other, is_new] = renamed.try_emplace(std::move(name), std::move(tensor));
    if (!is_new) {
      return corrupt_data(folder_.string() + ": tensors " + other->second.name + " and " + old_name +
                          " are the same part of the model, which may have one of them");
    }
  }
  tensors_ = std::move(renamed);
  return {};
}

const TensorView* WeightMap::find(std::string_view name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

Result<const TensorView*> WeightMap::get(std::string_view name) const {
  const TensorView* tensor = find(name);
  if (tensor == nullptr) {
    return corrupt_data(folder_.string() + ": tensor " + std::string(name) +
                        " is missing; the model is incomplete or not of this architecture");
  }
  return tensor;
}

void WeightMap::drop_pages(const TensorView& tensor) const {
  for (const MappedFile& file : files_) {
    const auto bytes = file.bytes();
    if (!tensor.data.empty() && tensor.data.data() >= bytes.data() &&
        tensor.data.data() < bytes.data() + bytes.size()) {
      file.drop_pages(tensor.data);
      return;
    }
  }
}

void WeightMap::will_need(const TensorView& tensor) const {
  for (const MappedFile& file : files_) {
    const auto bytes = file.bytes();
    if (!tensor.data.empty() && tensor.data.data() >= bytes.data() &&
        tensor.data.data() < bytes.data() + bytes.size()) {
      file.will_need(tensor.data);
      return;
    }
  }
}

}  // namespace mlxd
