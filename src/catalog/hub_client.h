// Questions to the hub (huggingface.co or a mirror): search, a model's files, small files of it. Each call is
// one request, tried again where that can help. Thread-safe: calls share nothing that changes.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "catalog/http_transfer.h"
#include "catalog/hub_places.h"
#include "catalog/stop_flag.h"

namespace mlxd {

struct HubFile {
  std::string path;
  std::uint64_t size_bytes = 0;
  std::string sha256 = {};    // of LFS files, else empty
  std::string git_sha1 = {};  // git's name of the blob (of an LFS file: of its pointer)

  /// What names it in the cache: its hash.
  const std::string& etag() const { return sha256.empty() ? git_sha1 : sha256; }
};

/// What the hub says of a repository. Fields that it does not tell are empty or 0.
struct HubModel {
  std::string id;
  std::string commit;
  std::string author, library, task, last_modified, license;
  std::string gated;  // "", "auto" or "manual"
  bool is_private = false;
  std::int64_t downloads = 0;  // of the last 30 days
  std::int64_t likes = 0;
  std::int64_t num_parameters = 0;  // of a quantized model the hub counts packed words
  std::uint64_t storage_bytes = 0;  // of all revisions together
  std::uint64_t weight_bytes = 0;   // of its safetensors files; of a search's answer only
  std::int64_t bits = 16;           // of a quantized weight; 16: not quantized
  std::string model_type;
  std::vector<std::string> tags, base_models;
  std::vector<HubFile> files;  // of one model's answer only
};

struct HubQuery {
  std::string text, author;
  std::vector<std::string> tags;  // all of them
  bool mlx_only = true;
  std::string sort = "trendingScore";  // downloads | likes | lastModified | createdAt | trendingScore
  std::int32_t limit = 20;             // 1 … 100
  std::string cursor;                  // `next` of the page before; empty: the first page
};

struct HubPage {
  std::vector<HubModel> models;
  std::string next;  // empty: the last page
};

/// What the hub calls an order that people call downloads, likes, modified, created or trending. Errors:
/// kInvalidArgument.
Result<std::string> hub_sort_of(std::string_view name);

/// Statuses and errors after which the same request may succeed.
bool is_worth_a_retry(int status);
bool is_worth_a_retry(const Error& error);
/// How long to wait before try `attempt` (1 is the first repetition): doubling from `base`, at most half a
/// minute, jittered by half (AWS Architecture Blog, "Exponential Backoff And Jitter").
std::chrono::milliseconds retry_delay(std::chrono::milliseconds base, int attempt);
/// What a status means for who asked: kUnauthorized and kForbidden tell which licence to accept and where the
/// token goes, kNotFound what is missing.
Error describe_refusal(const ResponseHead& head, const HubPlaces& places, const std::string& repository,
                       const std::string& what);

/// Whose a token is.
struct HubAccount {
  std::string name;
  std::string token_name;    // as its owner called it
  std::string role;          // "read", "write", "fineGrained"
  std::string token_source;  // where it stands
};

/// What the user's settings say of the hub.
struct HubPolicy {
  bool offline = false;  // nothing is asked of it
  /// Longest time without a byte.
  std::chrono::seconds silence_timeout{30};
};

class HubClient {
 public:
  struct Options {
    std::chrono::milliseconds retry_base{500};
    int attempts = 3;
    /// Of one that has a small answer, whole; longer where the policy waits longer for a byte.
    std::chrono::milliseconds request_timeout{30000};
    /// The longest Retry-After that is waited for; a longer one is kOverloaded, telling it.
    std::chrono::seconds max_retry_after{20};
    /// The token that is kept for the hub, asked for each request; it goes before that of the token file, but
    /// behind HF_TOKEN. Empty: none is kept. On any thread.
    std::function<Result<std::optional<std::string>>()> kept_token = {};
    /// Asked for each request; empty: as HubPolicy says. On any thread.
    std::function<HubPolicy()> policy = {};
  };
  HubClient(HubPlaces places, Options options) : places_(std::move(places)), options_(options) {}
  explicit HubClient(HubPlaces places) : HubClient(std::move(places), Options()) {}

  /// With the token that the environment or its file had at the start.
  const HubPlaces& places() const { return places_; }
  /// With the token that goes with a request now. Errors: of `kept_token`.
  Result<HubPlaces> places_now() const;
  HubPolicy policy() const { return options_.policy ? options_.policy() : HubPolicy(); }
  /// Sets the time-outs of a request that may take `total` (0: any time) if the policy does not say
  /// otherwise.
  void set_timeouts(TransferRequest& request, std::chrono::milliseconds total) const;
  /// Errors: kConflict in offline mode, naming `what` is not read and how to change it.
  Result<void> check_online(const std::string& what) const;
  /// Whose the token is; with `token`, that one instead of the token that holds. Errors: kUnauthorized
  /// (refused, or there is none), and as below.
  Result<HubAccount> account(const std::string& token, StopFlag& stop) const;

  /// With its files and their hashes. Errors: kUnauthorized, kForbidden, kNotFound, kUnavailable, kTimeout,
  /// kOverloaded, kCorruptData, kCancelled; kConflict in offline mode.
  Result<HubModel> model(const std::string& id, const std::string& revision, StopFlag& stop) const;
  Result<HubPage> search(const HubQuery& query, StopFlag& stop) const;
  /// A small file's bytes. Errors: as above, kTooLarge.
  Result<std::string> read_file(const std::string& id, const std::string& revision, const std::string& path,
                                std::size_t max_bytes, StopFlag& stop) const;
  std::string file_url(const std::string& id, const std::string& revision, const std::string& path) const;

 private:
  struct Answer {
    ResponseHead head;
    std::string body;
  };
  Result<Answer> get(const std::string& url, std::size_t max_bytes, const std::string& repository,
                     const std::string& what, StopFlag& stop) const;
  Result<Answer> get_with(const HubPlaces& places, const std::string& url, std::size_t max_bytes,
                          const std::string& repository, const std::string& what, StopFlag& stop) const;

  const HubPlaces places_;
  const Options options_;
};

}  // namespace mlxd
