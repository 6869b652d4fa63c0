#pragma once
// Checkpoints of others that lie: each is to be refused by its reason, in one
// line, at once, and without taking memory for what it declares.

#include "pointwork/files/safetensors.h"
#include "tests/checkpoint/cases.h"
#include "tests/support/cost.h"

namespace pointwork::test {

inline const fs::path kCases = fs::path(POINTWORK_SOURCE_DIR) / "tests" / "golden" / "huggingface";

using Json = nlohmann::json;
using Words = std::vector<std::string>;

inline void put(const fs::path& path, const std::string& content) {
  std::ofstream(path, std::ios::binary) << content;
}

struct Fault {
  std::string name;
  std::string of;                             // the golden case that is damaged
  std::function<void(const fs::path&)> make;  // damages a copy of it
  Words words;                                // that the refusal must hold
};

inline std::string text_of(const fs::path& path) { return read_file(path); }

inline Json json_of(const fs::path& path) { return Json::parse(text_of(path)); }

inline Fault with_config(const std::string& name, const std::string& of, const Json& changes,
                         const Words& words) {
  const auto make = [changes](const fs::path& folder) {
    Json config = json_of(folder / "config.json");
    config.merge_patch(changes);  // a null removes the key
    put(folder / "config.json", config.dump());
  };
  return {name, of, make, words};
}

inline Fault with_file(const std::string& name, const std::string& file, const std::string& content,
                       const Words& words, const std::string& of = "llama_grouped") {
  return {name, of, [=](const fs::path& folder) { put(folder / file, content); }, words};
}

// The tensors of a folder, to be changed and written again.
struct Weights {
  std::vector<TensorEntry> entries;
  std::map<std::string, std::string> bytes;

  TensorEntry& entry(const std::string& name) {
    return *std::find_if(entries.begin(), entries.end(),
                         [&](const TensorEntry& one) { return one.name == name; });
  }
  void remove(const std::string& name) {
    entries.erase(entries.begin() + (&entry(name) - entries.data()));
  }
  void add(const std::string& name, const std::string& like) {
    entries.push_back(entry(like));
    entries.back().name = name;
    bytes[name] = bytes[like];
  }
};

inline Fault with_weights(const std::string& name, const std::string& of,
                          const std::function<void(Weights&)>& change, const Words& words) {
  const auto make = [change](const fs::path& folder) {
    const fs::path path = folder / "model.safetensors";
    Weights weights;
    {
      const SafetensorsFile file(path);
      weights.entries = file.tensors();
      for (const TensorEntry& entry : weights.entries) {
        const auto bytes = file.bytes(entry);
        weights.bytes[entry.name].assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
      }
    }
    change(weights);
    std::vector<TensorView> views;
    for (const TensorEntry& entry : weights.entries)
      views.push_back({entry.name, entry.dtype, entry.shape,
                       std::as_bytes(std::span(weights.bytes[entry.name]))});
    fs::remove(path);
    write_safetensors(path, views);
  };
  return {name, of, make, words};
}

// Changes the index of a sharded folder.
inline Fault with_index(const std::string& name, const std::function<void(Json&)>& change,
                        const Words& words) {
  const auto make = [change](const fs::path& folder) {
    Json index = json_of(folder / "model.safetensors.index.json");
    change(index);
    put(folder / "model.safetensors.index.json", index.dump());
  };
  return {name, "llama_sharded", make, words};
}

inline uintmax_t bytes_in(const fs::path& folder) {
  uintmax_t bytes = 0;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    bytes += entry.is_regular_file() ? entry.file_size() : 0;
  return bytes;
}

inline void expect_all_refused(const std::vector<Fault>& all) {
  const TemporaryFolder folder;
  const fs::path copy = folder / "copy";
  for (const Fault& fault : all) {
    SCOPED_TRACE(fault.name);
    fs::copy(kCases / fault.of, copy);
    fs::remove(copy / "expected.safetensors");
    fault.make(copy);
    const Cost cost = cost_of([&] { open_checkpoint(copy); });
    expect_cheap_refusal(cost, bytes_in(copy));
    expect_in(cost.error, fault.words);
    fs::remove_all(copy);
  }
}

}  // namespace pointwork::test
