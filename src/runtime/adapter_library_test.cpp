#include "runtime/adapter_library.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <future>
#include <thread>

#include "model/testing/synthetic_adapter.h"
#include "runtime/model_host.h"

namespace mlxd {
namespace {

namespace fs = std::filesystem;
using testing::SyntheticAdapterOptions;

constexpr std::size_t kMebibyte = std::size_t{1} << 20U;

class AdapterLibraryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(testing::write_synthetic_model(model(), model_options_).ok());
    write(model() / "adapters" / "own");
    write(home() / "shared", {.scale = -1.0});
    write(home() / "own", {.scale = 9.0});  // the model's own comes first
    ASSERT_TRUE(testing::write_synthetic_adapter(home() / "foreign", {.hidden_size = 128}, {}).ok());
    fs::create_directories(home() / "no adapter");
    write(folder_.path() / "elsewhere");
  }
  fs::path model() const { return folder_.path() / "model"; }
  fs::path home() const { return folder_.path() / "home"; }
  void write(const fs::path& folder, const SyntheticAdapterOptions& options = {}) const {
    ASSERT_TRUE(testing::write_synthetic_adapter(folder, model_options_, options).ok());
  }
  AdapterPlaces places() const {
    return {.named = {{"named", folder_.path() / "elsewhere"}}, .shared_folder = home()};
  }
  std::unique_ptr<ModelHost> load(ModelHostOptions options = {}) const {
    options.threads = 1;
    options.adapters = places();
    auto host = ModelHost::load(model(), std::move(options));
    EXPECT_TRUE(host.ok()) << host.error().message;
    return host.ok() ? host.take_value() : nullptr;
  }
  std::vector<TokenId> answer(const ModelHost& host, AdapterLeasePtr adapter) const {
    GenerationRequest::Fields fields;
    fields.prompt = {1, 2, 3, 4, 5};
    fields.sampling.temperature = 0.0F;
    fields.max_tokens = 12;
    fields.adapter = std::move(adapter);
    auto request = GenerationRequest::create(std::move(fields), host.limits());
    auto stream = host.engine().submit(request.take_value(), nullptr);
    EXPECT_TRUE(stream.ok());
    std::vector<TokenId> tokens;
    std::vector<TokenEvent> events;
    for (bool more = true; more; events.clear()) {
      stream->wait(std::chrono::milliseconds(1000));
      more = stream->take_events(events);
      for (const TokenEvent& event : events) {
        EXPECT_FALSE(event.error) << event.error->message;
        if (event.token != kNoToken) tokens.push_back(event.token);
      }
    }
    return tokens;
  }

  testing::TemporaryFolder folder_;
  testing::SyntheticModelOptions model_options_;
};

TEST_F(AdapterLibraryTest, finds_adapters_in_their_places) {
  const auto found = places().list(model());
  std::vector<std::string> names;
  for (const auto& each : found) names.push_back(each.name);
  EXPECT_EQ(names, (std::vector<std::string>{"foreign", "named", "own", "shared"}));
  EXPECT_EQ(*places().find(model(), "own"), model() / "adapters" / "own");
  for (const char* name : {"", ".", "..", "../home/shared", "no adapter", "own/", "OWN"}) {
    const auto none = places().find(model(), name);
    ASSERT_FALSE(none.ok()) << name;
    EXPECT_EQ(none.error().kind, ErrorKind::kNotFound);
    EXPECT_NE(none.error().message.find("own"), std::string::npos) << none.error().message;
  }
  EXPECT_EQ(AdapterPlaces{}.list(folder_.path() / "nowhere").size(), 0U);
}

TEST_F(AdapterLibraryTest, parts_names_at_every_plus) {
  using Splits = std::vector<std::pair<std::string, std::string>>;
  EXPECT_EQ(split_adapter("model"), Splits{});
  EXPECT_EQ(split_adapter("+a"), Splits{});
  EXPECT_EQ(split_adapter("m+a"), (Splits{{"m", "a"}}));
  EXPECT_EQ(split_adapter("m+x+a"), (Splits{{"m+x", "a"}, {"m", "x+a"}}));
  EXPECT_EQ(split_adapter("m+"), (Splits{{"m", ""}}));
  EXPECT_EQ(parse_named_adapter("sql=/a=b")->folder, "/a=b");
  for (const char* text : {"", "=", "sql", "sql=", "=/a"})
    EXPECT_FALSE(parse_named_adapter(text).ok()) << text;
}

TEST_F(AdapterLibraryTest, loads_at_first_use_and_changes_answers) {
  const auto host = load();
  ASSERT_NE(host, nullptr);
  AdapterLibrary& library = host->adapters();
  EXPECT_EQ(library.list(), (std::vector<std::string>{"named", "own", "shared"}));  // foreign does not fit
  EXPECT_EQ(library.find_loaded("own"), nullptr);
  const auto plain = answer(*host, nullptr);
  const auto own = library.acquire("own");
  ASSERT_TRUE(own.ok()) << own.error().message;
  EXPECT_EQ((*own)->name, "own");
  EXPECT_EQ(library.find_loaded("own"), *own);
  const auto shared = library.acquire("shared");
  ASSERT_TRUE(shared.ok()) << shared.error().message;
  EXPECT_NE((*own)->id, (*shared)->id);
  EXPECT_NE(answer(*host, *own), plain);
  EXPECT_NE(answer(*host, *shared), answer(*host, *own));
  EXPECT_EQ(answer(*host, nullptr), plain);
  EXPECT_GT(host->engine().backend_memory().adapter_bytes, 0U);

  const auto foreign = library.acquire("foreign");
  ASSERT_FALSE(foreign.ok());
  EXPECT_EQ(foreign.error().kind, ErrorKind::kCorruptData);
  const auto none = library.acquire("none");
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().kind, ErrorKind::kNotFound);
  EXPECT_EQ(library.num_loaded(), 2U);
}

TEST_F(AdapterLibraryTest, makes_room_of_what_nobody_holds) {
  const auto host = load();
  ASSERT_NE(host, nullptr);
  AdapterLibrary library({.model_folder = model(),
                          .spec = &host->spec(),
                          .engine = &host->engine(),
                          .places = places(),
                          .most_adapters = 2});
  auto own = library.acquire("own").take_value();
  auto shared = library.acquire("shared").take_value();
  const auto full = library.acquire("named");
  ASSERT_FALSE(full.ok());
  EXPECT_EQ(full.error().kind, ErrorKind::kOverloaded);
  // The one used last stays.
  own.reset();
  shared.reset();
  EXPECT_NE(library.find_loaded("own"), nullptr);
  ASSERT_TRUE(library.acquire("named").ok());
  EXPECT_EQ(library.find_loaded("shared"), nullptr);
  EXPECT_NE(library.find_loaded("own"), nullptr);
  // Under another id than before: whoever kept the old one is told.
  EXPECT_TRUE(library.acquire("shared").ok());

  AdapterLibrary small({.model_folder = model(),
                        .spec = &host->spec(),
                        .engine = &host->engine(),
                        .places = places(),
                        .most_bytes = 1000});
  const auto large = small.acquire("own");
  ASSERT_FALSE(large.ok());
  EXPECT_EQ(large.error().kind, ErrorKind::kOutOfMemory);
  EXPECT_NE(large.error().message.find("adapter-memory"), std::string::npos);
}

TEST_F(AdapterLibraryTest, keeps_within_the_models_quota) {
  constexpr std::size_t kQuota = 48 * kMebibyte;
  ModelHostOptions options;
  options.memory_bytes = kQuota;
  const auto host = load(options);
  ASSERT_NE(host, nullptr);
  const auto total = [&] {
    const BackendMemory memory = host->engine().backend_memory();
    return memory.weight_bytes + memory.page_bytes + memory.scratch_bytes + memory.adapter_bytes;
  };
  EXPECT_LE(total(), kQuota);
  for (const char* name : {"own", "shared", "named"}) {
    const auto lease = host->adapters().acquire(name);
    ASSERT_TRUE(lease.ok()) << lease.error().message;
    EXPECT_LE(total(), kQuota) << name;
  }
  // The context promised at the start still fits.
  const std::int64_t tokens = std::int64_t{host->engine().stats().capacity_pages} * kPageTokens;
  EXPECT_GE(tokens, host->limits().context_tokens);
}

TEST_F(AdapterLibraryTest, loads_once_for_all_who_ask_at_once) {
  const auto host = load();
  ASSERT_NE(host, nullptr);
  std::vector<std::future<AdapterId>> ids;
  for (int i = 0; i < 6; ++i) {
    ids.push_back(std::async(std::launch::async, [&host, i] {
      const auto lease = host->adapters().acquire(i % 2 == 0 ? "own" : "shared");
      return lease.ok() ? (*lease)->id : kNoAdapter;
    }));
  }
  std::vector<AdapterId> got;
  for (auto& id : ids) got.push_back(id.get());
  EXPECT_NE(got[0], kNoAdapter);
  EXPECT_NE(got[0], got[1]);
  for (std::size_t i = 2; i < got.size(); ++i) EXPECT_EQ(got[i], got[i - 2]);
}

}  // namespace
}  // namespace mlxd
