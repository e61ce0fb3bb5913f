#include "workbench/import_gguf.h"

#include <algorithm>
#include <array>
#include <compare>
#include <cstdio>
#include <map>
#include <system_error>
#include <utility>

#include "model/gguf.h"
#include "model/json.h"
#include "model/model_folder.h"
#include "workbench/gguf_config.h"
#include "workbench/gguf_tensors.h"
#include "workbench/gguf_tokenizer.h"
#include "workbench/gguf_weights.h"
#include "workbench/model_name.h"
#include "workbench/staging_folder.h"
#include "workbench/weight_files_writer.h"

namespace mlxd {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

// Of the progress, what looking through the weights takes; the rest is writing them.
constexpr float kPlanningShare = 0.4F;

float share_of(std::uint64_t done, std::uint64_t total) {
  return static_cast<float>(done) / static_cast<float>(std::max<std::uint64_t>(total, 1));
}

Result<std::vector<StoragePlan>> plan_tensors(const GgufFile& file, const GgufModel& model,
                                              const ImportOptions& options) {
  std::vector<StoragePlan> plans;
  std::vector<GgufSource> sources = TRY(find_gguf_tensors(file, model));
  std::uint64_t total = 0, done = 0;
  for (const GgufSource& source : sources) total += source.tensor->data.size();
  for (GgufSource& source : sources) {
    plans.push_back(TRY(plan_storage(std::move(source), options.is_cancelled)));
    const GgufTensor& tensor = *plans.back().source.tensor;
    file.drop_pages(tensor);
    done += tensor.data.size();
    if (options.progress) options.progress(kPlanningShare * share_of(done, total));
  }
  return plans;
}

std::string storage_of(const StoragePlan& plan) {
  const std::vector<TensorLayout> parts = layouts(plan);
  if (plan.bits == 0) return std::string(to_string(parts.front().dtype));
  return std::to_string(plan.bits) + " bits, " + std::string(to_string(plan.scale_dtype)) + " scales";
}

// config.json's `quantization`: the commonest width, and an entry for each module that differs.
json::object make_quantization(const std::vector<StoragePlan>& plans) {
  std::map<std::int32_t, int> uses;
  for (const StoragePlan& plan : plans) {
    if (plan.bits > 0) ++uses[plan.bits];
  }
  json::object section;
  if (uses.empty()) return section;
  const auto commonest = std::max_element(uses.begin(), uses.end(),
                                          [](const auto& a, const auto& b) { return a.second < b.second; });
  section["group_size"] = kImportGroupSize;
  section["bits"] = commonest->first;
  section["mode"] = "affine";
  for (const StoragePlan& plan : plans) {
    if (plan.bits > 0 && plan.bits != commonest->first) {
      section[plan.source.name] = json::object{{"group_size", kImportGroupSize}, {"bits", plan.bits}};
    }
  }
  return section;
}

// All but the index, which counts parameters.
Result<WeightFilesWriter> write_weights(const GgufFile& file, const std::vector<StoragePlan>& plans,
                                        const StagingFolder& staging, const ImportOptions& options,
                                        std::vector<ImportedTensor>& imported) {
  std::vector<TensorLayout> all;
  for (const StoragePlan& plan : plans) {
    for (TensorLayout& layout : layouts(plan)) all.push_back(std::move(layout));
  }
  std::uint64_t total = 0;
  for (const TensorLayout& layout : all) total += layout.num_bytes();
  TRY(staging.check_space(total));
  WeightFilesWriter writer = TRY(WeightFilesWriter::create(staging.path(), std::move(all)));
  std::uint64_t done = 0;
  for (const StoragePlan& plan : plans) {
    const GgufTensor& tensor = *plan.source.tensor;
    const double error = TRY(write_tensor(plan, writer, options.is_cancelled));
    imported.push_back({tensor.name, gguf_type_name(static_cast<std::uint32_t>(tensor.type)),
                        storage_of(plan), plan.keeps_codes, error});
    file.drop_pages(tensor);
    for (const TensorLayout& layout : layouts(plan)) done += layout.num_bytes();
    if (options.progress) options.progress(kPlanningShare + (1.0F - kPlanningShare) * share_of(done, total));
  }
  TRY(writer.finish());
  return writer;
}

std::string storage_text(const json::object& quantization, const std::vector<StoragePlan>& plans) {
  if (!quantization.empty()) return std::to_string(quantization.at("bits").as_int64()) + " bits";
  for (const StoragePlan& plan : plans) {
    if (plan.source.tensor->shape.size() == 2) return storage_of(plan);
  }
  return {};
}

std::string two_digits(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1e", value);
  return text.data();
}

// What one line of describe_tensors tells of.
struct Fate {
  std::string type;
  std::string storage;
  bool keeps_codes = true;
  bool is_exact = true;
  auto operator<=>(const Fate&) const = default;
};

struct Tally {
  std::int64_t count = 0;
  const ImportedTensor* worst = nullptr;
};

Error with_file(Error error, const fs::path& file) {
  if (error.message.find(file.string()) == std::string::npos)
    error.message = file.string() + ": " + error.message;
  return error;
}

Result<ImportReport> fill(const GgufFile& file, const StagingFolder& staging, const ImportOptions& options) {
  GgufModel model = TRY(read_gguf_model(file));
  const GgufSpecialTokens special = TRY(read_special_tokens(file));
  const auto num_names = static_cast<std::int64_t>(TRY(file.strings("tokenizer.ggml.tokens"))->size());
  if (num_names != model.vocab_size) {
    return corrupt_data("tokenizer.ggml.tokens has " + std::to_string(num_names) +
                        " tokens, but token_embd.weight " + std::to_string(model.vocab_size) + " rows");
  }
  const json::object tokenizer = TRY(make_tokenizer(file, special));
  const std::int64_t context = model.config["max_position_embeddings"].as_int64();
  const json::object tokenizer_config = TRY(make_tokenizer_config(file, special, context));
  const std::vector<StoragePlan> plans = TRY(plan_tensors(file, model, options));

  const json::object quantization = make_quantization(plans);
  const json::object generation = make_generation_config(special);
  for (const auto& [key, value] : generation) model.config[key] = value;
  if (!quantization.empty()) {
    model.config["quantization"] = quantization;
    model.config["quantization_config"] = quantization;
  }
  TRY(staging.write_text("config.json", to_pretty_json(model.config)));
  TRY(staging.write_text("generation_config.json", to_pretty_json(generation)));
  TRY(staging.write_text("tokenizer.json", json::serialize(tokenizer)));
  TRY(staging.write_text("tokenizer_config.json", to_pretty_json(tokenizer_config)));

  ImportReport report;
  const WeightFilesWriter weights = TRY(write_weights(file, plans, staging, options, report.tensors));
  report.weight_bytes = weights.file_bytes();
  report.num_tensors = static_cast<std::int64_t>(plans.size());
  report.storage = storage_text(quantization, plans);
  if (!file.has("tokenizer.chat_template")) report.notes.emplace_back("the file has no chat template");
  // What would be refused at load is refused now.
  report.num_parameters = TRY(ModelFolder::open(staging.path())).num_parameters();
  TRY(staging.write_text(kWeightIndexName, weights.index_json(report.num_parameters)));
  return report;
}

}  // namespace

std::vector<std::string> describe_tensors(const std::vector<ImportedTensor>& tensors) {
  std::map<Fate, Tally> fates;
  for (const ImportedTensor& tensor : tensors) {
    Tally& tally = fates[{tensor.type, tensor.storage, tensor.keeps_codes, tensor.largest_error == 0.0}];
    ++tally.count;
    if (tally.worst == nullptr || tensor.largest_error > tally.worst->largest_error) tally.worst = &tensor;
  }
  std::vector<std::string> lines;
  for (const auto& [fate, tally] : fates) {
    std::string line = std::to_string(tally.count) +
                       (tally.count == 1 ? " tensor of type " : " tensors of type ") + fate.type + ": ";
    line += fate.storage == fate.type ? "as they are" : fate.storage;
    if (fate.is_exact) {
      if (fate.storage != fate.type) line += ", exactly the same values";
    } else {
      line += fate.keeps_codes ? ", the same codes; off by at most " : ", quantized again; off by at most ";
      line += two_digits(tally.worst->largest_error) + " of a row's largest weight (" +
              tally.worst->gguf_name + ")";
    }
    lines.push_back(std::move(line));
  }
  return lines;
}

Result<std::string> imported_name(const fs::path& file, const std::string& given) {
  std::string name = given.empty() ? file.stem().string() : given;
  TRY(check_model_name(name));
  return name;
}

Result<ImportReport> import_gguf(const fs::path& path, const ImportOptions& options) {
  const std::string name = TRY(imported_name(path, options.name));
  const fs::path target = options.models_folder / name;
  std::error_code error;
  if (fs::exists(target, error) && !options.overwrite) {
    return Error(ErrorKind::kConflict,
                 target.string() + " exists already; give another --name or remove it first");
  }
  const GgufFile file = TRY(GgufFile::open(path));
  StagingFolder staging = TRY(StagingFolder::create(target, "importing"));
  Result<ImportReport> filled = [&]() -> Result<ImportReport> {
    try {
      return fill(file, staging, options);
    } catch (const std::bad_alloc&) {
      return Error(ErrorKind::kOutOfMemory, "not enough memory to import " + path.string());
    }
  }();
  const bool is_cancelled = filled.ok() ? options.is_cancelled && options.is_cancelled()
                                        : filled.error().kind == ErrorKind::kCancelled;
  if (is_cancelled) return Error(ErrorKind::kCancelled, "stopped: " + target.string() + " was not made");
  if (!filled.ok()) return with_file(filled.take_error(), path);
  ImportReport report = filled.take_value();
  TRY(staging.publish(options.overwrite));
  report.folder = target;
  report.name = name;
  return report;
}

}  // namespace mlxd
