#pragma once
// Small data sets and the files they are made from.

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "pointwork/base/check.h"
#include "pointwork/data/loader.h"
#include "pointwork/data/manifest.h"
#include "pointwork/data/prepare.h"
#include "tests/support/data.h"

namespace pointwork::test {

namespace fs = std::filesystem;

// Ids 0 .. 255 are the bytes themselves, 256 ends a text.
inline constexpr int32_t kEnd = 256;

inline TextEncoder byte_encoder() {
  TextEncoder encoder{.encode =
                          [](std::string_view text, std::vector<int32_t>& ids) {
                            for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
                          },
                      .token_bytes = std::vector<uint32_t>(257, 1),
                      .end_of_text = kEnd,
                      .hash = std::string(32, 'b'),
                      .json = "{}"};
  encoder.token_bytes[kEnd] = 0;
  return encoder;
}

inline fs::path write(const fs::path& path, const std::string& content) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << content;
  return path;
}

inline std::string content_of(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// The error's text; fails the test where there is none.
template <class Run>
std::string error_of(Run run) {
  try {
    run();
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "no Error was thrown";
  return "";
}

inline void expect_in(const std::string& text, const std::vector<std::string>& parts) {
  for (const std::string& part : parts) {
    EXPECT_NE(text.find(part), std::string::npos) << "'" << part << "' not in: " << text;
  }
}

// Texts of the inputs' documents, pieces joined.
inline std::vector<std::string> texts(const std::vector<fs::path>& inputs,
                                      const SourceOptions& options = {}) {
  DocumentReader reader(inputs, options);
  std::vector<std::string> all;
  Document document;
  bool open = false;
  while (reader.next(document)) {
    EXPECT_EQ(document.starts, !open);
    if (document.starts) all.emplace_back();
    all.back() += document.text;
    open = !document.ends;
  }
  EXPECT_FALSE(open);
  EXPECT_EQ(reader.bytes_read(), reader.bytes_total());
  return all;
}

// All ids of a split, read from its shards.
inline std::vector<int32_t> ids_of(const fs::path& folder, Split split) {
  const Manifest manifest = read_manifest(folder);
  std::vector<int32_t> all;
  for (const ShardInfo& info :
       (split == Split::train ? manifest.train : manifest.validation).shards) {
    const Shard shard(folder / info.file);
    std::vector<int32_t> ids(static_cast<size_t>(shard.tokens()));
    shard.read(0, ids);
    all.insert(all.end(), ids.begin(), ids.end());
  }
  return all;
}

// Documents of a split prepared with byte_encoder(), by the places where the shards say they end.
inline std::vector<std::string> documents_of(const fs::path& folder, Split split) {
  const Manifest manifest = read_manifest(folder);
  std::vector<std::string> all;
  std::string open;
  for (const ShardInfo& info :
       (split == Split::train ? manifest.train : manifest.validation).shards) {
    const Shard shard(folder / info.file);
    int64_t at = 0;
    const auto take = [&](int64_t stop) {
      std::vector<int32_t> ids(static_cast<size_t>(stop - at));
      shard.read(at, ids);
      for (const int32_t id : ids) open += id == kEnd ? "$" : std::string(1, static_cast<char>(id));
      at = stop;
    };
    for (const uint64_t end : shard.document_ends()) {
      take(static_cast<int64_t>(end));
      all.push_back(std::exchange(open, ""));
    }
    take(shard.tokens());
  }
  EXPECT_EQ(open, "");
  return all;
}

// `count` JSON lines: "document 0 ...", of differing lengths.
inline std::string json_lines(int count) {
  std::string lines;
  for (int i = 0; i < count; ++i) {
    lines += concat("{\"text\": \"document ", i, " ", std::string(static_cast<size_t>(i % 37), 'x'),
                    "\"}\n");
  }
  return lines;
}

inline std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder))
    names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace pointwork::test
