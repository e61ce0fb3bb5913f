#include "cli/pull_source.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <optional>
#include <utility>

#include "catalog/json_reading.h"
#include "catalog/memory_journal.h"
#include "cli/json_fields.h"

namespace mlxd::cli {
namespace {

namespace json = boost::json;

constexpr int kAttempts = 6;
constexpr const char* kStopped = "stopped: what came is kept; run it again to go on";

class OwnPull final : public PullSource {
 public:
  OwnPull(std::unique_ptr<Downloader> downloader, std::string id)
      : downloader_(std::move(downloader)), id_(std::move(id)) {}
  Result<DownloadStatus> status() override { return downloader_->status(id_); }
  std::string interrupt() override { return kStopped; }

 private:
  std::unique_ptr<Downloader> downloader_;
  const std::string id_;
};

std::uint64_t bytes_at(const json::object& object, std::string_view key) {
  return static_cast<std::uint64_t>(std::max<std::int64_t>(0, integer_at(object, key)));
}

std::optional<double> number_at(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  if (value == nullptr || !value->is_number()) return std::nullopt;
  return value->to_number<double>();
}

// As the server tells it; see docs/api/models-and-downloads.md.
Result<DownloadStatus> status_of(const json::value& answer) {
  const json::object* object = answer.if_object();
  const auto state = object == nullptr ? std::nullopt : download_state_of(text_at(*object, "state"));
  if (!state) return corrupt_data("the server's answer is no download");
  DownloadStatus status;
  status.record.id = text_at(*object, "id");
  status.record.repository = text_at(*object, "model");
  status.record.revision = text_at(*object, "revision");
  status.record.commit = text_at(*object, "commit");
  status.record.state = *state;
  status.record.message = text_at(*object, "message");
  status.record.total_bytes = bytes_at(*object, "total_bytes");
  status.present_bytes = bytes_at(*object, "present_bytes");
  status.bytes_per_s = number_at(*object, "bytes_per_s").value_or(0.0);
  status.seconds_left = number_at(*object, "seconds_left");
  status.waiting = text_at(*object, "waiting");
  status.snapshot = text_at(*object, "snapshot");
  for (const json::object& file : objects_of(answer, "files")) {
    const json::value* done = file.if_contains("done");
    status.files.push_back({.path = text_at(file, "path"),
                            .size_bytes = bytes_at(file, "size_bytes"),
                            .present_bytes = bytes_at(file, "present_bytes"),
                            .done = done != nullptr && done->is_bool() && done->get_bool()});
  }
  return status;
}

class ServerPull final : public PullSource {
 public:
  ServerPull(ManageClient server, std::string id, std::string model, bool is_joined)
      : server_(std::move(server)),
        path_("/api/v1/downloads/" + id),
        model_(std::move(model)),
        is_joined_(is_joined) {}

  Result<DownloadStatus> status() override {
    const auto answer = server_.get(path_);
    if (answer.ok()) return status_of(*answer);
    Error error = answer.error();
    if (error.kind == ErrorKind::kUnavailable)
      error.message = "the server has ended (" + error.message +
                      "): when it starts again it goes on with the download of " + model_;
    return error;
  }

  std::string interrupt() override {
    if (is_joined_)
      return "the server goes on with the download, which was under way before; 'mlxd pull " + model_ +
             "' shows it again";
    if (const auto paused = server_.call("POST", path_ + "/pause", json::object()); !paused.ok())
      return "the server may go on with the download: it cannot be paused: " + paused.error().message;
    return kStopped;
  }

 private:
  const ManageClient server_;
  const std::string path_;
  const std::string model_;
  const bool is_joined_;
};

}  // namespace

Result<std::unique_ptr<PullSource>> pull_here(HubClient hub, const Downloader::Wish& wish) {
  Downloader::Options options;
  options.attempts = kAttempts;
  auto downloader =
      TRY(Downloader::start(std::move(hub), std::make_unique<MemoryJournal>(), std::move(options)));
  std::string id = TRY(downloader->begin(wish)).status.record.id;
  return std::unique_ptr<PullSource>(std::make_unique<OwnPull>(std::move(downloader), std::move(id)));
}

Result<std::unique_ptr<PullSource>> pull_through(ManageClient server, const Downloader::Wish& wish) {
  bool is_joined = false;
  for (const json::object& each : objects_of(TRY(server.get("/api/v1/downloads")), "downloads")) {
    const std::string state = text_at(each, "state");
    is_joined = is_joined ||
                (text_at(each, "model") == wish.repository && text_at(each, "revision") == wish.revision &&
                 (state == "queued" || state == "running"));
  }
  json::object body{{"model", wish.repository}, {"revision", wish.revision}};
  if (!wish.patterns.empty()) body["files"] = json::array(wish.patterns.begin(), wish.patterns.end());
  const DownloadStatus begun = TRY(status_of(TRY(server.call("POST", "/api/v1/downloads", body))));
  return std::unique_ptr<PullSource>(
      std::make_unique<ServerPull>(std::move(server), begun.record.id, wish.repository, is_joined));
}

}  // namespace mlxd::cli
