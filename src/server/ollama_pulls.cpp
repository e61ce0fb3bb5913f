#include "server/ollama_pulls.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <utility>

#include "api/error_status.h"
#include "api/json_text.h"
#include "api/ollama/error_body.h"
#include "base/log.h"

namespace mlxd {
namespace {

namespace ollama = api::ollama;

constexpr std::string_view kSuccess = R"({"status":"success"})";

std::string status_line(std::string_view status) {
  std::string line = R"({"status":)";
  api::append_json_string(line, status);
  return line + "}\n";
}

std::string file_line(const DownloadStatus::File& file) {
  std::string line = R"({"status":)";
  api::append_json_string(line, "pulling " + file.path);
  line += R"(,"digest":)";
  api::append_json_string(line, file.digest);
  line += R"(,"total":)";
  api::append_json_number(line, static_cast<std::int64_t>(file.size_bytes));
  line += R"(,"completed":)";
  api::append_json_number(line, static_cast<std::int64_t>(file.present_bytes));
  return line + "}\n";
}

// What became of a download that has not brought its model.
Error failure_of(const DownloadRecord& record) {
  const std::string what = "the download of " + record.repository;
  if (record.state == DownloadState::kFailed) return {ErrorKind::kIo, what + " failed: " + record.message};
  if (record.state == DownloadState::kCancelled) return {ErrorKind::kConflict, what + " was cancelled"};
  return {ErrorKind::kConflict, what + " is paused (" + record.message + "): pull again to go on"};
}

bool has_stopped(DownloadState state) { return is_over(state) || state == DownloadState::kPaused; }

}  // namespace

/// One client that waits. Its methods belong to the exchange's I/O thread.
class OllamaPulls::Pull : public std::enable_shared_from_this<OllamaPulls::Pull> {
 public:
  Pull(http::ExchangePtr exchange, bool stream, std::string download)
      : exchange_(std::move(exchange)), download_(std::move(download)), stream_(stream) {}

  const std::string& download() const { return download_; }
  const http::ExchangePtr& exchange() const { return exchange_; }

  /// `let_go` is called once, when nothing more is to be told; with whether the client has left.
  void start(std::function<void(bool gone)> let_go) {
    // Failed already, as the server is stopping.
    if (done_) return let_go(false);
    let_go_ = std::move(let_go);
    if (exchange_->gone()) return finish(true);
    exchange_->on_gone([self = weak_from_this()] {
      if (const auto pull = self.lock()) pull->finish(true);
    });
    if (stream_) begin_stream();
    started_ = true;
    if (const auto status = std::exchange(pending_, std::nullopt)) tell(*status);
  }

  /// Statuses may come in any order, and before the start.
  void tell(const DownloadStatus& status) {
    if (done_ || status.version <= version_) return;
    version_ = status.version;
    if (!started_) {
      pending_ = status;
      return;
    }
    if (stream_) send_progress(status);
    if (!has_stopped(status.record.state)) return;
    if (status.record.state == DownloadState::kDone)
      succeed();
    else
      fail(failure_of(status.record));
  }

  void fail(const Error& error) {
    if (done_) return;
    if (stream_ && started_) {
      exchange_->send(ollama::encode_error(error) + "\n");
      exchange_->end();
    } else {
      exchange_->respond_error(api::status_of(error.kind), error);
    }
    finish(false);
  }

 private:
  void begin_stream() {
    http::Response head;
    head.content_type = "application/x-ndjson";
    head.headers.add("Cache-Control", "no-cache");
    head.body = status_line("pulling manifest");
    exchange_->begin_stream(std::move(head));
  }

  void finish(bool gone) {
    if (std::exchange(done_, true)) return;
    if (const auto let_go = std::exchange(let_go_, nullptr)) let_go(gone);
  }

  void send_progress(const DownloadStatus& status) {
    // A client that does not read gets what is newest when it does.
    if (exchange_->pending_bytes() >= http::Exchange::kHighWaterBytes) return;
    std::string lines;
    if (!status.waiting.empty() && status.waiting != waiting_)
      lines += status_line("waiting: " + status.waiting);
    waiting_ = status.waiting;
    bool complete = !status.files.empty();
    for (const DownloadStatus::File& file : status.files) {
      complete = complete && file.present_bytes >= file.size_bytes;
      const auto [known, is_new] = sent_.emplace(file.path, file.present_bytes);
      if (!is_new && known->second == file.present_bytes) continue;
      known->second = file.present_bytes;
      lines += file_line(file);
    }
    if (complete && !std::exchange(complete_, true)) lines += status_line("verifying sha256 digest");
    if (!lines.empty()) exchange_->send(lines);
  }

  void succeed() {
    if (stream_) {
      exchange_->send(std::string(kSuccess) + "\n");
      exchange_->end();
    } else {
      http::Response response;
      response.body = kSuccess;
      exchange_->respond(std::move(response));
    }
    finish(false);
  }

  const http::ExchangePtr exchange_;
  const std::string download_;
  const bool stream_;
  std::function<void(bool gone)> let_go_;
  std::optional<DownloadStatus> pending_;  // that came before the start
  bool started_ = false;
  bool done_ = false;
  bool complete_ = false;
  std::uint64_t version_ = 0;
  std::string waiting_;
  std::map<std::string, std::uint64_t> sent_;  // bytes of each file, as last told
};

void OllamaPulls::add_routes(http::Router& router) {
  router.add("POST", "/api/pull",
             [this](const http::ExchangePtr& exchange) {
               const bool posted = options_.catalog->try_post([this, exchange] { begin(exchange); });
               if (!posted)
                 exchange->respond_error(503, Error(ErrorKind::kOverloaded, "too many requests wait"), 1);
             },
             {.max_body_bytes = std::size_t{64} * 1024});
}

void OllamaPulls::begin(const http::ExchangePtr& exchange) {
  Result<void> begun = [&]() -> Result<void> {
    return follow(exchange, TRY(ollama::decode_pull(exchange->request.body)));
  }();
  if (begun.ok()) return;
  exchange->post(
      [exchange, error = begun.take_error()] { exchange->respond_error(api::status_of(error.kind), error); });
}

Result<void> OllamaPulls::follow(const http::ExchangePtr& exchange, const ollama::PullRequest& request) {
  const std::string model = options_.names->resolve(request.model).model;
  const auto source = options_.shelf->resolve(model);
  const ollama::PullName wanted = TRY(ollama::parse_pull_name(
      source && source->name.find('/') != std::string::npos ? source->name : request.model));
  if (wanted.repository.empty()) {
    if (!source)
      return Error(ErrorKind::kNotFound,
                   "'" + request.model.substr(0, 200) +
                       "' is no repository of Hugging Face: pull ORG/NAME, as 'mlxd search' lists them",
                   "model");
    // A folder of this machine: nothing is to be fetched.
    exchange->post([exchange, stream = request.stream] {
      http::Response response;
      if (stream) response.content_type = "application/x-ndjson";
      response.body =
          stream ? status_line("pulling manifest") + std::string(kSuccess) + "\n" : std::string(kSuccess);
      exchange->respond(std::move(response));
    });
    return {};
  }
  Downloader& downloader = *TRY(options_.catalog->downloads());
  const Downloader::Begun begun =
      TRY(downloader.begin({wanted.repository, wanted.revision, {}, caller_of(*exchange).user_id()}));
  const std::string id = begun.status.record.id;
  const auto pull = std::make_shared<Pull>(exchange, request.stream, id);
  {
    const MutexLock lock(mutex_);
    Interest& interest = interests_[id];
    ++interest.waiting;
    if (!begun.joined) interest.begun_here = true;
    std::erase_if(pulls_, [](const std::weak_ptr<Pull>& each) { return each.expired(); });
    pulls_.push_back(pull);
  }
  const std::uint64_t listener = options_.catalog->follow_downloads([pull](const DownloadStatus& status) {
    if (status.record.id == pull->download()) pull->exchange()->post([pull, status] { pull->tell(status); });
  });
  // What happened before there was a listener.
  const auto now = downloader.status(id);
  exchange->post([this, pull, listener, status = now.ok() ? *now : begun.status] {
    pull->start([this, listener, id = pull->download()](bool gone) {
      options_.catalog->unfollow_downloads(listener);
      leave(id, gone);
    });
    pull->tell(status);
  });
  return {};
}

void OllamaPulls::leave(const std::string& download, bool gone) {
  {
    const MutexLock lock(mutex_);
    const auto found = interests_.find(download);
    if (found == interests_.end()) return;
    Interest& interest = found->second;
    --interest.waiting;
    if (interest.waiting > 0 || closed_) return;
    // One that was paused here is still this one's to pause when the next pull goes on with it.
    const bool pause = gone && interest.begun_here && !options_.catalog->is_managed(download);
    if (!pause) {
      if (!gone) interests_.erase(found);
      return;
    }
  }
  // Not on an I/O thread: it is written down.
  options_.catalog->try_post([this, download] {
    const auto downloader = options_.catalog->downloads();
    if (!downloader.ok()) return;
    const auto paused = (*downloader)->pause(download);
    if (!paused.ok() && paused.error().kind != ErrorKind::kConflict)
      log::warn("cannot pause download {}: {}", download, paused.error().message);
  });
}

void OllamaPulls::close() {
  std::vector<std::weak_ptr<Pull>> all;
  {
    const MutexLock lock(mutex_);
    closed_ = true;
    std::swap(all, pulls_);
  }
  for (const auto& each : all) {
    const auto pull = each.lock();
    if (pull == nullptr) continue;
    pull->exchange()->post([pull] {
      pull->fail(
          Error(ErrorKind::kUnavailable, "the server is stopping: the download goes on when it runs again"));
    });
  }
}

}  // namespace mlxd
