// A checkpoint is damaged a thousand times, and each time it is noticed.

#include <fstream>
#include <set>

#include "tests/checkpoint/cases.h"

namespace pointwork::test {
namespace {

constexpr int kDamages = 1000;
constexpr uint64_t kSector = 512;

using Files = std::map<std::string, std::string>;  // name → content

Files files_of(const fs::path& folder) {
  Files all;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file())
      all[entry.path().lexically_relative(folder).string()] = read_file(entry.path());
  }
  return all;
}

void put(const fs::path& path, const std::string& content) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << content;
}

// A run with two checkpoints of neighbouring steps, whose files differ.
class Damage : public testing::Test {
 protected:
  Damage() {
    Config config = config_named("mod_predictor");
    config.model.hidden_size = 8;
    config.model.num_hidden_layers = 2;
    for (const int64_t step : {20, 30}) {
      const auto model = lively_model(config, torch::kFloat32, static_cast<uint64_t>(step));
      save_checkpoint(step_folder(steps(), step), *model, full_content(step));
    }
    older_ = files_of(step_folder(steps(), 20));
    whole_ = files_of(newest());
    for (const auto& [name, content] : whole_) names_.push_back(name);
  }

  fs::path steps() const { return folder_ / "run" / "checkpoints"; }
  fs::path newest() const { return step_folder(steps(), 30); }

  uint64_t below(uint64_t n) { return random_below(n, stream_key(1, "damage"), draw_++); }
  std::string any_file() { return names_[below(names_.size())]; }

  void restore() {
    fs::remove_all(newest());
    for (const auto& [name, content] : whole_) put(newest() / name, content);
  }

  // Applies damage of kind `kind`; what was done, or "" where the draw would have changed nothing.
  std::string damage(int kind) {
    const std::string name = any_file();
    std::string content = whole_.at(name);
    const auto rewritten = [&](const std::string& what) {
      if (content == whole_.at(name)) return std::string();
      put(newest() / name, content);
      return what + " in " + name;
    };
    switch (kind) {
      case 0: {
        const uint64_t bit = below(8 * content.size());
        content[bit / 8] = static_cast<char>(content[bit / 8] ^ (1 << bit % 8));
        return rewritten(concat("bit ", bit, " flipped"));
      }
      case 1:
        content.resize(below(content.size()));
        return rewritten(concat("cut to ", content.size(), " bytes"));
      case 2: {
        const uint64_t at = below(content.size()) / kSector * kSector;
        const uint64_t size = std::min<uint64_t>(kSector, content.size() - at);
        content.replace(at, size, size, '\0');
        return rewritten(concat("sector at ", at, " zeroed"));
      }
      case 3: {
        const uint64_t more = 1 + below(kSector);
        content.append(more, static_cast<char>(below(3) * 5 + 10));
        return rewritten(concat(more, " bytes appended"));
      }
      case 4: {
        const uint64_t sectors = content.size() / kSector;
        if (sectors < 2) return "";
        const uint64_t a = below(sectors) * kSector, b = below(sectors) * kSector;
        std::swap_ranges(content.begin() + static_cast<int64_t>(a),
                         content.begin() + static_cast<int64_t>(a + kSector),
                         content.begin() + static_cast<int64_t>(b));
        return a == b ? "" : rewritten(concat("sectors ", a, " and ", b, " exchanged"));
      }
      case 5:
        fs::remove(newest() / name);
        return name + " removed";
      case 6: {
        const char* extra[] = {"more", "trainer/more", "model.safetensors.tmp-7", ".hidden"};
        const std::string added = extra[below(4)];
        put(newest() / added, content.substr(0, below(100)));
        return added + " added";
      }
      case 7: {
        const std::string other = any_file();
        if (whole_.at(other) == content) return "";
        put(newest() / name, whole_.at(other));
        put(newest() / other, content);
        return name + " and " + other + " exchanged";
      }
      case 8:
        content = older_.at(name);
        return rewritten("content of another step");
      case 9: {  // all of another step but one file
        if (older_.at(name) == content) return "";
        for (const auto& [file, text] : older_) put(newest() / file, text);
        put(newest() / name, content);
        return "another step, but for " + name;
      }
      case 10:
        for (const auto& [file, text] : older_) put(newest() / file, text);
        return "another step";
      default: {  // a run of bytes lost in the middle
        const uint64_t at = below(content.size()), size = 1 + below(content.size() - at);
        content.erase(at, size);
        return rewritten(concat(size, " bytes lost at ", at));
      }
    }
  }

  TemporaryFolder folder_;
  Files whole_, older_;
  std::vector<std::string> names_;
  uint64_t draw_ = 0;
};

TEST_F(Damage, IsAlwaysNoticed) {
  constexpr int kKinds = 12;
  std::set<std::string> done;
  std::map<int, int> kinds;
  int noticed = 0;
  for (int tried = 0; static_cast<int>(done.size()) < kDamages; ++tried) {
    ASSERT_LT(tried, 10 * kDamages);
    // Mostly what disks do; the others have few variants.
    const int kind = tried % 3 != 0 ? static_cast<int>(below(5)) : static_cast<int>(below(kKinds));
    const std::string what = damage(kind);
    if (what.empty() || !done.insert(what + std::to_string(kind > 4 ? tried : 0)).second) {
      restore();
      continue;
    }
    ++kinds[kind];
    std::vector<std::string> notes;
    const Checkpoint opened =
        open_checkpoint(folder_ / "run", [&](const std::string& why) { notes.push_back(why); });
    EXPECT_EQ(opened.step, 20) << what;
    EXPECT_EQ(notes.size(), 1u) << what;
    if (notes.size() == 1) expect_in(notes[0], {"step-30 is passed over: "});
    // Asked for by its own path it is refused, unless it is a whole one of another step.
    const std::string refusal = error_of([&] { open_checkpoint(newest()); });
    EXPECT_EQ(refusal.empty(), kind == 10) << what;
    EXPECT_EQ(refusal.find('\n'), std::string::npos) << what;
    noticed += opened.step == 20;
    restore();
  }
  EXPECT_EQ(noticed, kDamages);
  for (int kind = 0; kind < kKinds; ++kind) EXPECT_GE(kinds[kind], 10) << kind;
  EXPECT_EQ(open_checkpoint(folder_ / "run").step, 30) << "undamaged it is whole";
}

// The smallest damage there is, everywhere it can be: every bit of the manifest, each last byte.
TEST_F(Damage, OfEveryBitOfTheManifestIsNoticed) {
  const std::string& manifest = whole_.at(kManifestFile);
  for (size_t bit = 0; bit < 8 * manifest.size(); ++bit) {
    std::string content = manifest;
    content[bit / 8] = static_cast<char>(content[bit / 8] ^ (1 << bit % 8));
    put(newest() / kManifestFile, content);
    ASSERT_FALSE(verify_manifest(newest()).problems.empty())
        << "bit " << bit << " '" << manifest[bit / 8] << "' to '" << content[bit / 8] << "'";
  }
  put(newest() / kManifestFile, manifest);
  for (const auto& [name, content] : whole_) {
    put(newest() / name, content.substr(0, content.size() - 1));
    EXPECT_FALSE(verify_manifest(newest()).problems.empty()) << name;
    put(newest() / name, content + "\n");
    EXPECT_FALSE(verify_manifest(newest()).problems.empty()) << name;
    put(newest() / name, content);
  }
  EXPECT_TRUE(verify_manifest(newest()).problems.empty());
}

}  // namespace
}  // namespace pointwork::test
