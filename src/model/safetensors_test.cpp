#include "model/safetensors.h"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <random>

#include "model/safetensors_writer.h"
#include "model/testing/synthetic_model.h"

namespace mlxd {
namespace {

using testing::TemporaryFolder;

std::string container(const std::string& header, std::size_t data_bytes, std::uint64_t length) {
  std::string out(8, '\0');
  std::memcpy(out.data(), &length, 8);
  return out + header + std::string(data_bytes, 'd');
}

std::string container(const std::string& header, std::size_t data_bytes) {
  return container(header, data_bytes, header.size());
}

Result<std::vector<TensorView>> read(const TemporaryFolder& folder, const std::string& content,
                                     MappedFile& keep) {
  const auto path = folder.path() / "model.safetensors";
  std::filesystem::remove(path);  // truncating in place makes some file systems flush each time
  std::ofstream(path, std::ios::binary | std::ios::trunc)
      .write(content.data(), static_cast<std::streamsize>(content.size()));
  keep = MappedFile::open(path).take_value();
  return read_safetensors(keep);
}

TEST(Safetensors, reads_tensors_in_order_of_their_data_and_skips_metadata) {
  TemporaryFolder folder;
  MappedFile file;
  const auto tensors = read(folder,
                            container(R"({"__metadata__":{"format":"mlx"},)"
                                      R"("b":{"dtype":"F16","shape":[2,2],"data_offsets":[8,16]},)"
                                      R"("a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                                      R"("empty":{"dtype":"I64","shape":[0,7],"data_offsets":[16,16]},)"
                                      R"("scalar":{"dtype":"U8","shape":[],"data_offsets":[16,17]}}   )",
                                      20),
                            file);
  ASSERT_TRUE(tensors.ok()) << tensors.error().message;
  ASSERT_EQ(tensors->size(), 4U);
  EXPECT_EQ((*tensors)[0].name, "a");
  EXPECT_EQ((*tensors)[1].name, "b");
  EXPECT_EQ((*tensors)[1].shape, (std::vector<std::int64_t>{2, 2}));
  EXPECT_EQ((*tensors)[1].dtype, DType::kF16);
  EXPECT_EQ((*tensors)[1].data.size(), 8U);
}

TEST(Safetensors, refuses_lying_headers_naming_file_and_tensor) {
  TemporaryFolder folder;
  const auto check = [&](const std::string& content, const std::string& expected) {
    MappedFile file;
    const auto result = read(folder, content, file);
    ASSERT_FALSE(result.ok()) << expected;
    EXPECT_NE(result.error().message.find("model.safetensors: "), std::string::npos)
        << result.error().message;
    EXPECT_NE(result.error().message.find(expected), std::string::npos) << result.error().message;
  };
  const auto entry = [](const std::string& body, std::size_t bytes = 16) {
    return container("{\"w\":{" + body + "}}", bytes);
  };
  check("", "too short");
  check("1234567", "too short");
  check(container("{}", 0, 3), "its header claims 3 bytes");
  check(container("{}", 0, UINT64_MAX), "its header claims 18446744073709551615 bytes");
  check(container("{}", 0, UINT64_MAX - 7), "its header claims");
  check(container("[]", 0), "not a safetensors file");
  check(container("{\"w\":}", 0), "not valid JSON");
  check(container("{\"w\":" + std::string(5000, '[') + std::string(5000, ']') + "}", 0), "not valid JSON");
  check(container("{\"w\":7}", 0), "tensor w: its header entry is not an object");
  check(container(R"({"":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 4), "empty name");
  check(
      container(
          R"({"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"w":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
          4),
      "tensor w: named twice");
  check(entry(R"("shape":[4],"data_offsets":[0,16])"), "tensor w: dtype is missing");
  check(entry(R"("dtype":"F4","shape":[4],"data_offsets":[0,2])"), "tensor w: dtype F4 is not supported");
  check(entry(R"("dtype":"F32","data_offsets":[0,16])"), "tensor w: shape is missing");
  check(entry(R"("dtype":"F32","shape":[-4],"data_offsets":[0,16])"), "integers of at least 0");
  check(entry(R"("dtype":"F32","shape":[4.5],"data_offsets":[0,16])"), "integers of at least 0");
  check(entry(R"("dtype":"F32","shape":["4"],"data_offsets":[0,16])"), "integers of at least 0");
  check(entry(R"("dtype":"F32","shape":[4])"), "data_offsets must be two numbers");
  check(entry(R"("dtype":"F32","shape":[4],"data_offsets":[0])"), "data_offsets must be two numbers");
  check(entry(R"("dtype":"F32","shape":[4],"data_offsets":[16,0])"), "ascending order");
  check(entry(R"("dtype":"F32","shape":[4],"data_offsets":[-1,15])"), "ascending order");
  check(entry(R"("dtype":"F32","shape":[5],"data_offsets":[0,20])"), "truncated");
  check(entry(R"("dtype":"F32","shape":[4],"data_offsets":[0,18446744073709551615])"), "truncated");
  check(entry(R"("dtype":"F32","shape":[3],"data_offsets":[0,16])"),
        "has 16 bytes but its shape and dtype need 12");
  // Products that wrap to the right size in 64 bits.
  check(entry(R"("dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0])"), "impossibly large");
  check(entry(R"("dtype":"F32","shape":[9223372036854775807,2],"data_offsets":[0,16])"), "impossibly large");
  check(entry(R"("dtype":"U8","shape":[0,9223372036854775807,3],"data_offsets":[0,0])"), "impossibly large");
  check(entry(R"("dtype":"U8","shape":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1],"data_offsets":[0,1])"),
        "16 dimensions");
  check(container(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                  R"("b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})",
                  12),
        "tensor b: its data overlaps that of a");
}

TEST(Safetensors, a_file_cut_anywhere_is_refused) {
  TemporaryFolder folder;
  const std::string whole = container(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    MappedFile file;
    EXPECT_FALSE(read(folder, whole.substr(0, size), file).ok()) << size;
  }
}

// Whatever the header says, the views stay inside the file (a sanitizer build reads them all).
TEST(Safetensors, random_damage_never_yields_a_view_outside_the_file) {
  TemporaryFolder folder;
  const std::string whole = container(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                                      R"("b":{"dtype":"BF16","shape":[2,3],"data_offsets":[8,20]}})",
                                      20);
  constexpr unsigned kSeed = 20;
  SCOPED_TRACE("seed " + std::to_string(kSeed));
  std::mt19937 generator(kSeed);
  const auto random = [&generator] { return static_cast<unsigned>(generator()); };
  int sum = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string damaged = whole;
    for (unsigned flips = 1 + random() % 3; flips > 0; --flips) {
      damaged[random() % damaged.size()] = static_cast<char>(random() & 0xFFU);
    }
    MappedFile file;
    const auto tensors = read(folder, damaged, file);
    if (!tensors.ok()) continue;
    for (const TensorView& tensor : *tensors) {
      EXPECT_EQ(tensor.data.size(), static_cast<std::size_t>(tensor.num_elements()) * size_of(tensor.dtype));
      for (const std::byte byte : tensor.data) sum += std::to_integer<int>(byte);
    }
  }
  EXPECT_GT(sum, 0);
}

TEST(SafetensorsWriter, writes_what_the_reader_reads) {
  TemporaryFolder folder;
  const auto path = folder.path() / "x.safetensors";
  auto writer = SafetensorsWriter::create(path, {{"half", DType::kF16, {3}}, {"words", DType::kU32, {2, 1}}});
  ASSERT_TRUE(writer.ok());
  const std::vector<std::byte> six(6, std::byte{6});
  const std::vector<std::byte> eight(8, std::byte{8});
  EXPECT_FALSE(writer->write("half", eight).ok());
  EXPECT_FALSE(writer->write("other", six).ok());
  ASSERT_TRUE(writer->write("half", six).ok());
  EXPECT_FALSE(writer->finish().ok());
  ASSERT_TRUE(writer->write("words", eight).ok());
  ASSERT_TRUE(writer->finish().ok());
  const MappedFile file = MappedFile::open(path).take_value();
  EXPECT_EQ(file.bytes().size(), writer->file_bytes());
  const auto tensors = read_safetensors(file);
  ASSERT_TRUE(tensors.ok());
  EXPECT_EQ((*tensors)[0].name, "words");
  EXPECT_EQ((*tensors)[1].data[5], std::byte{6});
  EXPECT_FALSE(SafetensorsWriter::create(path, {{"a", DType::kU8, {1}}, {"a", DType::kU8, {1}}}).ok());
}

}  // namespace
}  // namespace mlxd
