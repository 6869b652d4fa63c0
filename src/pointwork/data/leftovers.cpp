#include "pointwork/data/leftovers.h"

#include <signal.h>

#include <cerrno>
#include <charconv>
#include <string>
#include <string_view>
#include <vector>

namespace pointwork {
namespace {

namespace fs = std::filesystem;

bool of_a_dead_process(std::string_view digits) {
  int pid = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), pid);
  if (error != std::errc() || end != digits.data() + digits.size() || pid <= 0) return false;
  return ::kill(pid, 0) != 0 && errno == ESRCH;
}

}  // namespace

void remove_leftovers(const fs::path& folder) {
  const fs::path target = folder.has_filename() ? folder : folder.parent_path();
  const fs::path parent = target.has_parent_path() ? target.parent_path() : fs::path(".");
  const std::string unfinished = target.filename().string() + ".tmp-",
                    replaced = target.filename().string() + ".old-";
  std::error_code ignored;
  std::vector<fs::path> dead;
  for (fs::directory_iterator entry(parent, ignored), end; !ignored && entry != end;
       entry.increment(ignored)) {
    const std::string name = entry->path().filename().string();
    for (const std::string& kind : {unfinished, replaced}) {
      if (name.starts_with(kind) && of_a_dead_process(std::string_view(name).substr(kind.size())))
        dead.push_back(entry->path());
    }
  }
  for (const fs::path& one : dead) {
    if (one.filename().string().starts_with(replaced) && !fs::exists(target, ignored)) {
      fs::rename(one, target, ignored);
    } else {
      fs::remove_all(one, ignored);
    }
  }
}

}  // namespace pointwork
