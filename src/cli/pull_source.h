// Who does a download that `mlxd pull` shows: this process, or the server that runs on the state folder. One
// owner.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "catalog/downloader.h"
#include "cli/manage_client.h"

namespace mlxd::cli {

class PullSource {
 public:
  virtual ~PullSource() = default;
  /// How far it is.
  virtual Result<DownloadStatus> status() = 0;
  /// The person has pressed Ctrl-C: what becomes of the download, in words.
  virtual std::string interrupt() = 0;
};

/// Downloads in this process. It ends with it, and the next one goes on with what has come, which lies in the
/// cache. So nothing is written down: a row in the database would have the next server go on with what its
/// user has stopped, and the database is one process's at a time.
Result<std::unique_ptr<PullSource>> pull_here(HubClient hub, const Downloader::Wish& wish);

/// Has the server download, or joins it where it does so already. Ctrl-C pauses what was begun so; one that
/// was under way before goes on.
Result<std::unique_ptr<PullSource>> pull_through(ManageClient server, const Downloader::Wish& wish);

}  // namespace mlxd::cli
