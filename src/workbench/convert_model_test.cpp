#include "workbench/convert_model.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <functional>
#include <map>
#include <string>

#include "backends/cpu/dense_weights.h"
#include "base/mapped_file.h"
#include "model/float_formats.h"
#include "model/json.h"
#include "model/model_folder.h"
#include "model/quantize.h"
#include "model/safetensors.h"
#include "model/testing/synthetic_model.h"

namespace mlxd {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;
using testing::SyntheticModelOptions;
using testing::TemporaryFolder;
using testing::write_synthetic_model;

constexpr Quantization kAffine4{QuantizationMode::kAffine, 4, 32};

class ConvertTest : public ::testing::Test {
 protected:
  /// The source: dense bf16 unless said otherwise.
  void make_source(SyntheticModelOptions options = {}, bool dense = true) {
    if (dense) options.bits = 0;
    fs::remove_all(source());
    ASSERT_TRUE(write_synthetic_model(source(), options).ok());
  }
  Result<ConvertReport> convert(const Quantization& form,
                                const std::function<void(ConvertOptions&)>& change = {}) {
    ConvertOptions options;
    options.out = out();
    options.form = form;
    if (change) change(options);
    return convert_model(source(), options);
  }
  void refuses(const Result<ConvertReport>& report, ErrorKind kind, const std::string& expected) const {
    ASSERT_FALSE(report.ok()) << expected;
    EXPECT_EQ(report.error().kind, kind) << report.error().message;
    EXPECT_NE(report.error().message.find(expected), std::string::npos) << report.error().message;
    EXPECT_EQ(leftovers(), "source ");
  }
  /// Everything beside what the test itself put there.
  std::string leftovers() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_.path()))
      names.push_back(entry.path().filename().string());
    std::sort(names.begin(), names.end());
    std::string text;
    for (const std::string& name : names) text += name + " ";
    return text;
  }
  fs::path source() const { return folder_.path() / "source"; }
  fs::path out() const { return folder_.path() / "out"; }
  static json::object read(const fs::path& file) { return read_json_object(file, 1U << 22U).take_value(); }

  TemporaryFolder folder_;
};

/// Changes bytes of a tensor in the folder's only weight file.
void overwrite_tensor(const fs::path& folder, const std::string& name, std::span<const std::byte> bytes) {
  const fs::path path = folder / "model.safetensors";
  std::size_t offset = 0;
  {
    const MappedFile file = MappedFile::open(path).take_value();
    const std::vector<TensorView> tensors = read_safetensors(file).take_value();
    for (const TensorView& tensor : tensors) {
      if (tensor.name == name) offset = static_cast<std::size_t>(tensor.data.data() - file.bytes().data());
    }
  }
  ASSERT_GT(offset, 0U) << name;
  std::fstream stream(path, std::ios::in | std::ios::out | std::ios::binary);
  stream.seekp(static_cast<std::streamoff>(offset));
  stream.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

std::string bytes_of(const WeightMap& weights, const std::string& name) {
  const TensorView* tensor = weights.find(name);
  if (tensor == nullptr) return "missing " + name;
  return {reinterpret_cast<const char*>(tensor->data.data()), tensor->data.size()};
}

TEST_F(ConvertTest, QuantizesLinearLayersAndEmbeddingsAndNothingElse) {
  make_source();
  const auto report = convert({QuantizationMode::kAffine, 6, 64});
  ASSERT_TRUE(report.ok()) << report.error().message;
  const ModelFolder before = ModelFolder::open(source()).take_value();
  const ModelFolder after = ModelFolder::open(out()).take_value();
  EXPECT_EQ(report->num_parameters, before.num_parameters());
  EXPECT_EQ(report->quantized, 1 + 2 * 7);  // embedding, two layers
  EXPECT_EQ(report->kept + report->dense, 0);
  EXPECT_EQ(report->num_files, 1U);
  EXPECT_TRUE(report->notes.empty());
  const LinearSpec& dense = before.spec().layers[1].mlp->down_proj;
  const LinearSpec& linear = after.spec().layers[1].mlp->down_proj;
  EXPECT_EQ(linear.quantization, (Quantization{QuantizationMode::kAffine, 6, 64}));
  EXPECT_EQ(after.spec().embedding.quantization, linear.quantization);
  QuantizedRows rows;
  quantize_rows(read_linear(dense, before.weights()).take_value(), linear.quantization, DType::kBF16, rows);
  const auto* words = reinterpret_cast<const char*>(rows.words.data());
  EXPECT_EQ(bytes_of(after.weights(), linear.name + ".weight"), std::string(words, 4 * rows.words.size()));
  for (const char* norm : {"model.norm.weight", "model.layers.0.input_layernorm.weight"})
    EXPECT_EQ(bytes_of(after.weights(), norm), bytes_of(before.weights(), norm));

  const json::object config = read(out() / "config.json");
  const json::value expected = {{"group_size", 64}, {"bits", 6}, {"mode", "affine"}};
  EXPECT_EQ(config.at("quantization"), expected);
  EXPECT_EQ(config.at("quantization_config"), expected);
  EXPECT_EQ(config.at("hidden_size"), read(source() / "config.json").at("hidden_size"));
}

TEST_F(ConvertTest, CarriesOverWhatBelongsToAModel) {
  make_source();
  const auto put = [&](const char* name) { std::ofstream(source() / name) << name; };
  for (const char* name : {"chat_template.jinja", "merges.txt", "tokenizer.model", "modeling_x.py", "LICENSE",
                           ".gitattributes", "pytorch_model.bin", "model.gguf", "other.index.json"})
    put(name);
  fs::create_directory(source() / "folder.json");
  const fs::path elsewhere = folder_.path() / "source" / "blob";
  std::ofstream(elsewhere) << "linked";
  fs::create_symlink(elsewhere, source() / "vocab.json");
  fs::create_symlink(source() / "nothing", source() / "dangling.json");
  ASSERT_TRUE(convert(kAffine4).ok());
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(out())) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  EXPECT_EQ(names, (std::vector<std::string>{
                       "LICENSE", "chat_template.jinja", "config.json", "generation_config.json",
                       "merges.txt", "model.safetensors", "model.safetensors.index.json", "modeling_x.py",
                       "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json"}));
  EXPECT_FALSE(fs::is_symlink(out() / "vocab.json"));
  EXPECT_EQ(fs::file_size(out() / "vocab.json"), 6U);
}

TEST_F(ConvertTest, SplitsLargeModelsAsTheIndexSays) {
  make_source();
  const auto whole = convert(kAffine4);
  ASSERT_TRUE(whole.ok()) << whole.error().message;
  const auto split = convert(kAffine4, [&](ConvertOptions& options) {
    options.out = folder_.path() / "split";
    options.max_file_bytes = 20'000;
  });
  ASSERT_TRUE(split.ok()) << split.error().message;
  EXPECT_GT(split->num_files, 2U);
  const json::object index = read(folder_.path() / "split" / "model.safetensors.index.json");
  const WeightMap one = WeightMap::open(out()).take_value();
  const WeightMap many = WeightMap::open(folder_.path() / "split").take_value();
  EXPECT_EQ(many.tensors().size(), one.tensors().size());
  std::uint64_t total = 0;
  std::map<std::string, std::uint64_t> file_sizes;
  for (const auto& [name, tensor] : one.tensors()) {
    EXPECT_EQ(bytes_of(many, name), bytes_of(one, name)) << name;
    const std::string file(index.at("weight_map").at(name).as_string());
    EXPECT_TRUE(fs::exists(folder_.path() / "split" / file)) << file;
    file_sizes[file] += tensor.data.size();
    total += tensor.data.size();
  }
  EXPECT_EQ(file_sizes.size(), split->num_files);
  const std::string count = std::to_string(split->num_files);
  EXPECT_TRUE(file_sizes.contains("model-00001-of-0000" + count + ".safetensors"));
  for (const auto& [file, size] : file_sizes) EXPECT_LE(size, 20'000U) << file;
  EXPECT_EQ(index.at("metadata").at("total_size").to_number<std::uint64_t>(), total);
  EXPECT_EQ(index.at("metadata").at("total_parameters").as_int64(), split->num_parameters);
  // One file is called as mlx-lm calls it, and has an index too.
  EXPECT_EQ(read(out() / "model.safetensors.index.json").at("weight_map").at("model.norm.weight"),
            "model.safetensors");
}

TEST_F(ConvertTest, KeepsCodesThatAreInTheFormAskedFor) {
  make_source({.embedding_bits = 8}, false);
  const auto report = convert(kAffine4);
  ASSERT_TRUE(report.ok()) << report.error().message;
  EXPECT_EQ(report->kept, 2 * 7);
  EXPECT_EQ(report->quantized, 1);
  ASSERT_EQ(report->notes.size(), 2U);
  EXPECT_NE(report->notes[0].find("the source is quantized already: 1 layer"), std::string::npos);
  EXPECT_NE(report->notes[1].find("14 layers are stored like this already"), std::string::npos);
  const WeightMap before = WeightMap::open(source()).take_value();
  const WeightMap after = WeightMap::open(out()).take_value();
  for (const char* part : {".weight", ".scales", ".biases"}) {
    const std::string name = std::string("model.layers.0.self_attn.q_proj") + part;
    EXPECT_EQ(bytes_of(after, name), bytes_of(before, name)) << name;
  }
}

// Through plain floats and back: what the codes stand for is what is quantized anew.
TEST_F(ConvertTest, QuantizesTheValuesOfCodesAnew) {
  for (const QuantizationMode mode : {QuantizationMode::kAffine, QuantizationMode::kNvfp4}) {
    SyntheticModelOptions options;
    options.mode = mode;
    options.group_size = mode == QuantizationMode::kNvfp4 ? 16 : 32;
    make_source(options, false);
    fs::remove_all(out());
    ASSERT_TRUE(convert({}).ok());
    const ModelFolder before = ModelFolder::open(source()).take_value();
    const ModelFolder after = ModelFolder::open(out()).take_value();
    const LinearSpec& linear = before.spec().layers[0].attention->o_proj;
    std::vector<float> values = read_linear(linear, before.weights()).take_value();
    for (float& value : values) value = round_to(DType::kBF16, value);
    EXPECT_EQ(read_linear(after.spec().layers[0].attention->o_proj, after.weights()).take_value(), values);
    EXPECT_FALSE(read(out() / "config.json").contains("quantization"));

    const Quantization form{QuantizationMode::kAffine, 5, 32};
    fs::remove_all(out());
    ASSERT_TRUE(convert(form).ok());
    const WeightMap weights = WeightMap::open(out()).take_value();
    QuantizedRows rows;
    quantize_rows(values, form, DType::kBF16, rows);
    EXPECT_EQ(bytes_of(weights, linear.name + ".weight"),
              std::string(reinterpret_cast<const char*>(rows.words.data()), 4 * rows.words.size()));
    EXPECT_EQ(bytes_of(weights, linear.name + ".scales"),
              std::string(reinterpret_cast<const char*>(rows.scales.data()), rows.scales.size()));
  }
}

TEST_F(ConvertTest, TypesComeFromTheOptionElseTheConfigurationElseTheTensors) {
  const auto check = [&](const char* configured, std::optional<DType> asked, DType expected,
                         const char* written) {
    make_source({.dtype = DType::kF32});
    json::object config = read(source() / "config.json");
    config.erase("torch_dtype");
    if (configured != nullptr) config["torch_dtype"] = configured;
    std::ofstream(source() / "config.json", std::ios::trunc) << json::serialize(config);
    fs::remove_all(out());
    const auto report = convert(kAffine4, [&](ConvertOptions& options) { options.dtype = asked; });
    ASSERT_TRUE(report.ok()) << report.error().message;
    const WeightMap weights = WeightMap::open(out()).take_value();
    EXPECT_EQ(weights.find("model.norm.weight")->dtype, expected);
    EXPECT_EQ(weights.find("model.layers.0.mlp.up_proj.scales")->dtype, expected);
    EXPECT_EQ(weights.find("model.layers.0.mlp.up_proj.biases")->dtype, expected);
    const json::object result = read(out() / "config.json");
    if (written != nullptr) {
      EXPECT_EQ(result.at("torch_dtype"), written);
    } else {
      EXPECT_FALSE(result.contains("torch_dtype"));
    }
  };
  check(nullptr, std::nullopt, DType::kF32, nullptr);
  check("bfloat16", std::nullopt, DType::kBF16, "bfloat16");
  check("float8", std::nullopt, DType::kF32, "float8");
  check("bfloat16", DType::kF16, DType::kF16, "float16");
  check(nullptr, DType::kF16, DType::kF16, "float16");
}

TEST_F(ConvertTest, LeavesLayersDenseWhoseInputsDoNotDivide) {
  make_source({.hidden_size = 64, .intermediate_size = 96});
  const auto report = convert({QuantizationMode::kAffine, 4, 64});
  ASSERT_TRUE(report.ok()) << report.error().message;
  EXPECT_EQ(report->dense, 2);  // down_proj, of 96
  const ModelFolder model = ModelFolder::open(out()).take_value();
  EXPECT_EQ(model.spec().layers[0].mlp->down_proj.quantization.mode, QuantizationMode::kNone);
  EXPECT_EQ(model.spec().layers[0].mlp->up_proj.quantization.bits, 4);
  fs::remove_all(out());
  refuses(convert({QuantizationMode::kAffine, 4, 128}), ErrorKind::kUnsupported,
          "no layer has inputs that divide into groups of 128");
}

TEST_F(ConvertTest, RefusesWhatIsNoFormat) {
  make_source();
  const auto wrong = ErrorKind::kInvalidArgument;
  refuses(convert({QuantizationMode::kAffine, 7, 64}), wrong, "affine with 7 bits in groups of 64");
  refuses(convert({QuantizationMode::kAffine, 4, 16}), wrong, "affine with 4 bits in groups of 16");
  refuses(convert({QuantizationMode::kMxfp4, 4, 64}), wrong, "mxfp4 with 4 bits in groups of 64");
  refuses(convert(kAffine4, [](ConvertOptions& options) { options.recipe = "mixed_9_9"; }), wrong,
          "mixed_9_9");
  refuses(convert({QuantizationMode::kMxfp4, 4, 32},
                  [](ConvertOptions& options) { options.recipe = "mixed_3_6"; }),
          wrong, "recipes of mixed bits are affine");
  refuses(convert(kAffine4, [](ConvertOptions& options) { options.dtype = DType::kU8; }), wrong,
          "the type is U8");
}

TEST_F(ConvertTest, RefusesBrokenSourcesByName) {
  make_source();
  const auto corrupt = ErrorKind::kCorruptData;
  const std::uint16_t nan = 0x7FC0;
  const std::uint16_t huge = 0x7F00;   // 1.7e38
  const std::uint16_t large = 0x4790;  // 73728: beyond half precision
  const std::string linear = "model.layers.1.mlp.up_proj.weight";
  const std::string norm = "model.layers.0.input_layernorm.weight";
  const auto with = [&](const std::string& name, std::uint16_t bits) {
    make_source();
    overwrite_tensor(source(), name, std::as_bytes(std::span(&bits, 1)));
  };
  const auto half = [](ConvertOptions& options) { options.dtype = DType::kF16; };
  with(linear, nan);
  refuses(convert(kAffine4), corrupt, "tensor " + linear + " contains NaN or infinity");
  with(norm, nan);
  refuses(convert(kAffine4), corrupt, "tensor " + norm + " contains NaN or infinity");
  with(linear, huge);
  refuses(convert(kAffine4), corrupt, "tensor " + linear + " holds numbers beyond 1e36");
  with(linear, large);
  refuses(convert(kAffine4, half), ErrorKind::kInvalidArgument,
          "tensor " + linear + " holds 73728.000000, which float16 cannot: use --dtype bfloat16");
  with(norm, large);
  refuses(convert(kAffine4, half), ErrorKind::kInvalidArgument, "tensor " + norm + " holds 73728");

  make_source({}, false);
  overwrite_tensor(source(), "model.layers.0.mlp.up_proj.scales", std::as_bytes(std::span(&nan, 1)));
  refuses(convert(kAffine4), corrupt, "tensor model.layers.0.mlp.up_proj.scales contains NaN");

  make_source();
  fs::resize_file(source() / "model.safetensors", fs::file_size(source() / "model.safetensors") - 10);
  refuses(convert(kAffine4), corrupt, "truncated");
  fs::remove(source() / "model.safetensors");
  refuses(convert(kAffine4), ErrorKind::kNotFound, "holds no model*.safetensors");
}

TEST_F(ConvertTest, NeverReplacesWhatIsNoModelNorTheSource) {
  make_source();
  const auto to = [&](const fs::path& path, bool overwrite) {
    return convert(kAffine4, [&](ConvertOptions& options) {
      options.out = path;
      options.overwrite = overwrite;
    });
  };
  for (const bool overwrite : {false, true}) {
    for (const fs::path& path :
         {source(), source() / "inner", folder_.path(), source() / "..", source() / ""}) {
      refuses(to(path, overwrite), ErrorKind::kInvalidArgument, "lie one in the other");
    }
  }
  fs::create_directory(out());
  std::ofstream(out() / "precious.txt") << "work";
  const auto refused = to(out(), false);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().kind, ErrorKind::kConflict);
  const auto still = to(out(), true);
  ASSERT_FALSE(still.ok());
  EXPECT_NE(still.error().message.find("is no model folder, so it is not replaced"), std::string::npos);
  EXPECT_TRUE(fs::exists(out() / "precious.txt"));
  fs::remove_all(out());
  ASSERT_TRUE(to(out(), false).ok());
  EXPECT_EQ(to(out(), false).error().kind, ErrorKind::kConflict);
  ASSERT_TRUE(to(out() / "", true).ok());
  EXPECT_EQ(leftovers(), "out source ");
}

TEST_F(ConvertTest, LeavesNothingWhenStoppedAndKeepsWhatWasThere) {
  make_source();
  ASSERT_TRUE(convert(kAffine4).ok());
  int asked = 0;
  const auto stopped = convert({QuantizationMode::kAffine, 8, 32}, [&](ConvertOptions& options) {
    options.overwrite = true;
    options.is_cancelled = [&asked] { return ++asked == 5; };
  });
  ASSERT_FALSE(stopped.ok());
  EXPECT_EQ(stopped.error().kind, ErrorKind::kCancelled);
  EXPECT_EQ(leftovers(), "out source ");
  EXPECT_EQ(ModelFolder::open(out())->spec().embedding.quantization.bits, 4);
}

TEST_F(ConvertTest, ClearsTheRemainsOfAKilledConversionButNotOfARunningOne) {
  make_source();
  fs::create_directory(folder_.path() / ".converting-out");
  std::ofstream(folder_.path() / ".converting-out" / "model.safetensors") << "half";
  const fs::path lock = folder_.path() / ".converting-out.lock";
  const int running = ::open(lock.c_str(), O_RDWR | O_CREAT, 0644);
  ASSERT_EQ(::flock(running, LOCK_EX), 0);
  EXPECT_EQ(convert(kAffine4).error().kind, ErrorKind::kConflict);
  ::close(running);
  EXPECT_TRUE(convert(kAffine4).ok());
  EXPECT_EQ(leftovers(), "out source ");
}

TEST_F(ConvertTest, ProgressRisesToOne) {
  make_source();
  std::vector<double> seen;
  ASSERT_TRUE(convert(kAffine4, [&](ConvertOptions& options) {
                options.progress = [&](double done) { seen.push_back(done); };
              }).ok());
  ASSERT_GT(seen.size(), 10U);
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
  EXPECT_EQ(seen.back(), 1.0);
}

}  // namespace
}  // namespace mlxd
