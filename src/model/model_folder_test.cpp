#include "model/model_folder.h"

#include <gtest/gtest.h>

#include "model/testing/synthetic_model.h"

namespace mlxd {
namespace {

TEST(ModelFolder, opens_every_kind_of_synthetic_model) {
  for (const std::int32_t bits : {0, 2, 3, 4, 5, 6, 8}) {
    for (const std::int32_t group_size : {32, 64}) {
      for (const bool tied : {true, false}) {
        testing::TemporaryFolder folder;
        testing::SyntheticModelOptions options;
        options.bits = bits;
        options.group_size = group_size;
        options.tied_embeddings = tied;
        options.attention_bias = options.mlp_bias = tied;
        options.dtype = tied ? DType::kBF16 : DType::kF16;
        ASSERT_TRUE(testing::write_synthetic_model(folder.path(), options).ok());
        const auto model = ModelFolder::open(folder.path());
        ASSERT_TRUE(model.ok()) << model.error().message;
        const Quantization expected =
            bits == 0 ? Quantization{} : Quantization{QuantizationMode::kAffine, bits, group_size};
        EXPECT_EQ(model->spec().layers.at(1).mlp.down_proj.quantization, expected);
        EXPECT_EQ(model->eos_tokens(), (std::vector<std::int32_t>{256, 258}));
        EXPECT_EQ(model->spec().tied_embeddings, tied);
      }
    }
  }
}

}  // namespace
}  // namespace mlxd
