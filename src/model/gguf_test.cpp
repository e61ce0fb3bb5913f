#include "model/gguf.h"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <random>

#include "model/testing/gguf_builder.h"
#include "model/testing/synthetic_model.h"

namespace mlxd {
namespace {

using testing::GgufBuilder;
using testing::TemporaryFolder;

Result<GgufFile> open(const TemporaryFolder& folder, const std::string& content) {
  const auto path = folder.path() / "x.gguf";
  std::filesystem::remove(path);  // truncating in place makes some file systems flush each time
  std::ofstream(path, std::ios::binary | std::ios::trunc)
      .write(content.data(), static_cast<std::streamsize>(content.size()));
  return GgufFile::open(path);
}

std::string words(std::initializer_list<std::uint64_t> values) {
  std::string out;
  for (const std::uint64_t value : values) out.append(reinterpret_cast<const char*>(&value), 8);
  return out;
}

std::string type_word(std::uint32_t type) { return {reinterpret_cast<const char*>(&type), 4}; }

GgufBuilder small() {
  GgufBuilder builder;
  builder.add_string("general.architecture", "llama");
  builder.add_u32("count", 7);
  builder.add_f32("theta", 0.5F);
  builder.add_bool("flag", true);
  builder.add_strings("names", {"a", "", "c"});
  builder.add_i32s("types", {1, -2});
  builder.add_tensor("w", 0, {2, 8}, std::vector<std::byte>(64, std::byte{1}));
  builder.add_tensor("q", 2, {1, 32}, std::vector<std::byte>(18, std::byte{2}));
  return builder;
}

TEST(Gguf, reads_metadata_and_tensors) {
  TemporaryFolder folder;
  for (const std::uint32_t version : {2U, 3U}) {
    GgufBuilder builder = small();
    builder.version = version;
    const auto file = open(folder, builder.bytes());
    ASSERT_TRUE(file.ok()) << file.error().message;
    EXPECT_EQ(*file->string("general.architecture"), "llama");
    EXPECT_EQ(*file->integer("count", 0, 10), 7);
    EXPECT_EQ(*file->number("theta", 0, 1), 0.5);
    EXPECT_TRUE(file->boolean_or("flag", false));
    EXPECT_TRUE(file->boolean_or("absent", true));
    EXPECT_EQ(**file->strings("names"), (std::vector<std::string_view>{"a", "", "c"}));
    const GgufTensor* tensor = file->find_tensor("w");
    ASSERT_NE(tensor, nullptr);
    EXPECT_EQ(tensor->shape, (std::vector<std::int64_t>{2, 8}));
    EXPECT_EQ(tensor->num_elements(), 16);
    EXPECT_EQ(file->find_tensor("q")->data.size(), 18U);
    EXPECT_EQ(file->find_tensor("q")->data[17], std::byte{2});
  }
}

TEST(Gguf, typed_access_names_file_and_key) {
  TemporaryFolder folder;
  const auto file = open(folder, small().bytes());
  ASSERT_TRUE(file.ok());
  EXPECT_NE(file->integer("count", 0, 6)
                .error()
                .message.find("x.gguf: metadata count must be an integer between 0 and 6, is 7"),
            std::string::npos);
  EXPECT_NE(file->string("absent").error().message.find("metadata absent is missing"), std::string::npos);
  EXPECT_FALSE(file->strings("types").ok());
  EXPECT_FALSE(file->number("count", 0, 10).ok());
}

TEST(Gguf, refuses_hostile_files_naming_the_thing) {
  TemporaryFolder folder;
  const auto check = [&](const std::string& content, const std::string& expected) {
    const auto file = open(folder, content);
    ASSERT_FALSE(file.ok()) << expected;
    EXPECT_NE(file.error().message.find("x.gguf"), std::string::npos);
    EXPECT_NE(file.error().message.find(expected), std::string::npos) << file.error().message;
  };
  const auto with = [&](const auto& change) {
    GgufBuilder builder = small();
    change(builder);
    return builder.bytes();
  };
  check("", "not a GGUF file");
  check("GGML", "not a GGUF file");
  check("GGUF", "ends inside the header");
  check(with([](auto& b) { b.version = 1; }), "GGUF version 1 is not supported");
  check(with([](auto& b) { b.version = 0x03000000; }), "is not supported; little-endian");
  check(with([](auto& b) { b.extra_tensors_claimed = UINT64_MAX - 8; }), "its header claims");
  check(with([](auto& b) { b.extra_entries_claimed = 1ULL << 40U; }), "its header claims");
  check(with([](auto& b) { b.extra_entries_claimed = 1; }), "x.gguf");
  check(with([](auto& b) { b.add_raw("s", type_word(8) + words({UINT64_MAX})); }), "ends inside s");
  check(with([](auto& b) { b.add_raw("s", type_word(9) + type_word(4) + words({1ULL << 60U})); }),
        "ends inside s");
  check(with([](auto& b) { b.add_raw("s", type_word(9) + type_word(8) + words({1ULL << 60U})); }),
        "ends inside s");
  check(with([](auto& b) {
          b.add_raw("s", type_word(9) + type_word(9) + words({1, 1}));
        }),
        "arrays of this type");
  check(with([](auto& b) { b.add_raw("s", type_word(77)); }), "s: has unknown value type 77");
  check(with([](auto& b) { b.add_raw("s", type_word(10) + words({UINT64_MAX})); }),
        "s: 18446744073709551615 is impossibly large");
  check(with([](auto& b) { b.add_u32("count", 7); }), "metadata count: given twice");
  check(with([](auto& b) { b.add_u32("general.alignment", 48); }),
        "general.alignment must be a power of two");
  check(with([](auto& b) { b.add_u32("general.alignment", 0); }), "general.alignment must be a power of two");
  check(with([](auto& b) { b.offset_shift = 16; }), "tensor w: its offset 16 is not aligned to 32");
  check(with([](auto& b) { b.offset_shift = 1ULL << 40U; }),
        "tensor w: its data lies beyond the end of the file");
  check(with([](auto& b) { b.offset_shift = UINT64_MAX - 15; }), "beyond the end");
  check(with([](auto& b) { b.add_tensor("w", 0, {1}, std::vector<std::byte>(4)); }), "tensor w: given twice");
  check(with([](auto& b) { b.add_tensor("big", 0, {1LL << 40, 1LL << 40}, {}); }), "tensor big: dimension");
  check(with([](auto& b) { b.add_tensor("none", 0, {0}, {}); }), "tensor none: dimension 0 is impossible");
  check(with([](auto& b) { b.add_tensor("deep", 0, {1, 1, 1, 1, 1}, {}); }), "tensor deep: has 5 dimensions");
  check(with([](auto& b) {
          b.add_tensor("odd", 2, {2, 33}, std::vector<std::byte>(64));
        }),
        "tensor odd: its rows of 33");
  check(with([](auto& b) {
          b.add_tensor("k", 12, {2, 128}, std::vector<std::byte>(144));
        }),
        "tensor k: its rows of 128 are not whole blocks of 256");
  check(with([](auto& b) { b.add_tensor("k", 12, {512}, std::vector<std::byte>(144)); }),
        "tensor k: its data lies beyond the end of the file");
  check(with([](auto& b) { b.add_tensor("k", 15, {256}, std::vector<std::byte>(292)); }),
        "tensor k: type Q8_K is not supported; use a file of the same model of type F32, F16");
  for (const std::uint32_t type : {16U, 17U, 18U, 19U, 21U, 22U, 29U}) {
    check(with([=](auto& b) { b.add_tensor("k", type, {256}, std::vector<std::byte>(256)); }),
          "tensor k: type " + gguf_type_name(type) + " holds indices into ggml's codebooks, which are not");
  }
  check(with([](auto& b) { b.add_tensor("k", 4242, {256}, {}); }), "type number 4242 is not supported");
  check(with([](auto& b) { b.add_tensor(std::string(5000, 'n'), 0, {1}, std::vector<std::byte>(4)); }),
        "a tensor's name is 5000 bytes");
}

TEST(Gguf, a_file_cut_anywhere_is_refused) {
  TemporaryFolder folder;
  const std::string whole = small().bytes();
  // The last tensor is padded to the alignment; cutting into the padding loses nothing.
  for (std::size_t size = 0; size + 14 < whole.size(); ++size) {
    EXPECT_FALSE(open(folder, whole.substr(0, size)).ok()) << size;
  }
}

TEST(Gguf, random_damage_never_yields_a_view_outside_the_file) {
  TemporaryFolder folder;
  const std::string whole = small().bytes();
  constexpr unsigned kSeed = 21;
  SCOPED_TRACE("seed " + std::to_string(kSeed));
  std::mt19937 generator(kSeed);
  const auto random = [&generator] { return static_cast<unsigned>(generator()); };
  int sum = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string damaged = whole;
    for (unsigned flips = 1 + random() % 4; flips > 0; --flips) {
      damaged[random() % (damaged.size() - 96)] = static_cast<char>(random() & 0xFFU);
    }
    const auto file = open(folder, damaged);
    if (!file.ok()) continue;
    for (const auto& [name, tensor] : file->tensors()) {
      for (const std::byte byte : tensor.data) sum += std::to_integer<int>(byte);
    }
  }
  EXPECT_GT(sum, 0);
}

}  // namespace
}  // namespace mlxd
