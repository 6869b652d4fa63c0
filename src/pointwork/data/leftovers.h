#pragma once
// What a killed run left beside the folder that it was to write.

#include <filesystem>

namespace pointwork {

// Removes FOLDER.tmp-PID and FOLDER.old-PID of processes that are gone. Where the killed run was
// just replacing FOLDER, which is therefore missing, its old content gets its name back.
void remove_leftovers(const std::filesystem::path& folder);

}  // namespace pointwork
