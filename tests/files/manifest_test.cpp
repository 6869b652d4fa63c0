#include "pointwork/files/manifest.h"

#include "pointwork/files/hash.h"
#include "tests/files/cases.h"

namespace pointwork::test {
namespace {

using Json = nlohmann::ordered_json;

class Manifest : public testing::Test {
 protected:
  Manifest() {
    put(at() / "a.txt", "first file");
    put(at() / "deep/b.bin", std::string("\0\1\2\377", 4));
    put(at() / "empty", "");
    write_manifest(at(), facts_);
  }

  fs::path at() const { return folder_ / "it"; }
  fs::path file() const { return at() / kManifestFile; }
  Strings problems() const { return verify_manifest(at()).problems; }

  // A manifest whose own hash is right.
  void forge(Json document) {
    document.erase("hash");
    const std::string text = document.dump();
    document["hash"] = hash_bytes(std::as_bytes(std::span(text)));
    put(file(), document.dump(2) + "\n");
  }

  TemporaryFolder folder_;
  const Json facts_ = {{"step", 7}, {"share", 0.125}, {"name", "größe"}, {"list", {1, 2}}};
};

TEST_F(Manifest, GivesBackTheFactsOfAWholeFolder) {
  const ManifestReport report = verify_manifest(at());
  EXPECT_EQ(report.problems, Strings{});
  EXPECT_EQ(report.facts, facts_);
  EXPECT_EQ(report.bytes, 14u);
  EXPECT_EQ(names_in(at()), (Strings{"a.txt", "deep", "empty", "manifest.json"}));
}

TEST_F(Manifest, CanBeWrittenAnew) {
  put(at() / "c", "third");
  EXPECT_EQ(problems(), Strings{"c does not belong to it"});
  write_manifest(at(), facts_);
  EXPECT_EQ(problems(), Strings{});
}

TEST_F(Manifest, NoticesEveryBitOfEveryFile) {
  for (const char* name : {"a.txt", "deep/b.bin", kManifestFile}) {
    const std::string whole = content_of(at() / name);
    // In place: what is cut to nothing and written anew, some file systems flush.
    std::fstream file(at() / name, std::ios::in | std::ios::out | std::ios::binary);
    const auto set = [&](size_t byte, int flipped) {
      file.seekp(static_cast<std::streamoff>(byte));
      file.put(static_cast<char>(whole[byte] ^ flipped)).flush();
    };
    for (size_t bit = 0; bit < 8 * whole.size(); ++bit) {
      set(bit / 8, 1 << (bit % 8));
      const Strings found = problems();
      set(bit / 8, 0);
      ASSERT_FALSE(found.empty()) << name << ", bit " << bit;
      ASSERT_EQ(found[0].rfind(name, 0), 0u) << found[0];
    }
    EXPECT_EQ(content_of(at() / name), whole);
  }
  EXPECT_EQ(problems(), Strings{});
}

TEST_F(Manifest, NoticesWhatIsCutOffOrAdded) {
  for (const char* name : {"a.txt", "deep/b.bin", "empty", kManifestFile}) {
    const std::string whole = content_of(at() / name);
    for (size_t size = whole.size(); size-- > 0;) {
      fs::resize_file(at() / name, size);
      ASSERT_FALSE(problems().empty()) << name << " of " << size << " bytes";
    }
    for (const std::string more : {" ", "\n", "x", "\t{}"}) {
      put(at() / name, whole + more);
      ASSERT_FALSE(problems().empty()) << name << " + " << more;
    }
    put(at() / name, whole);
  }
  EXPECT_EQ(problems(), Strings{});
}

TEST_F(Manifest, SaysWhatIsWrongWithEachFile) {
  fs::remove(at() / "empty");
  put(at() / "a.txt", "first fill");
  put(at() / "deep/b.bin", "12345");
  put(at() / "other\n", "");
  EXPECT_EQ(problems(),
            (Strings{"a.txt is damaged: its content does not have the hash it was saved with",
                     "deep/b.bin has 5 bytes, must have 4", "empty is missing",
                     "other  does not belong to it"}));
}

TEST_F(Manifest, NoticesFilesThatChangedPlaces) {
  put(at() / "deep/b.bin", "0123");
  write_manifest(at(), facts_);
  put(at() / "x", "4567");
  fs::rename(at() / "deep/b.bin", at() / "y");
  fs::rename(at() / "x", at() / "deep/b.bin");
  fs::rename(at() / "y", at() / "x");
  EXPECT_EQ(problems().size(), 2u);
  fs::remove(at() / "a.txt");
  fs::create_directory(at() / "a.txt");
  EXPECT_EQ(problems()[0], "a.txt is missing");
}

TEST_F(Manifest, ThatIsMissingIsTheOneProblem) {
  fs::remove(file());
  EXPECT_EQ(problems(), Strings{"manifest.json is missing"});
  fs::create_directory(file());
  EXPECT_EQ(problems(), Strings{"manifest.json is missing"});
  EXPECT_EQ(verify_manifest(folder_ / "absent").problems, Strings{"manifest.json is missing"});
}

TEST_F(Manifest, OfAnotherShapeIsRefusedEvenWithItsOwnHash) {
  const Json good = Json::parse(content_of(file()));
  put(folder_ / "outside", "first file");
  forge(good);
  EXPECT_EQ(problems(), Strings{});
  const auto changed = [&](auto change) {
    Json document = good;
    change(document);
    forge(document);
    const Strings found = problems();
    return found.empty() ? std::string("no problem") : found[0];
  };
  for (const std::string& outside : {std::string("../outside"), (folder_ / "outside").string(),
                                     std::string("deep/../../outside"), std::string()}) {
    EXPECT_EQ(changed([&](Json& d) { d["files"][outside] = d["files"]["a.txt"]; }),
              "manifest.json is damaged: it names a file outside the folder")
        << outside;
  }
  EXPECT_EQ(changed([](Json& d) { d["version"] = 2; }),
            "manifest.json is damaged: version 2 is not the known 1");
  const std::string odd = "manifest.json is damaged: not the JSON it was saved as";
  EXPECT_EQ(changed([](Json& d) { d.erase("files"); }), odd);
  EXPECT_EQ(changed([](Json& d) { d.erase("facts"); }), odd);
  EXPECT_EQ(changed([](Json& d) { d["files"]["a.txt"]["bytes"] = "many"; }), odd);
  EXPECT_EQ(changed([](Json& d) { d["files"]["a.txt"].erase("xxh3_128"); }), odd);
  EXPECT_EQ(changed([](Json& d) { d["files"]["a.txt"]["bytes"] = -10; }),
            "a.txt has 10 bytes, must have 18446744073709551606");
}

TEST_F(Manifest, OfAnyOtherContentIsRefused) {
  for (const std::string& content :
       {std::string(""), std::string("{}"), std::string("[]"), std::string("null"),
        std::string("\xff\xfe"), std::string("{\"hash\": 3}"), std::string(1000, '{')}) {
    put(file(), content);
    ASSERT_EQ(problems().size(), 1u);
    EXPECT_EQ(problems()[0].rfind("manifest.json is damaged: ", 0), 0u);
  }
  // Deep enough to end the stack of a program that follows it.
  put(file(), std::string(4'000'000, '['));
  EXPECT_EQ(problems(), Strings{"manifest.json is damaged: it is nested more than 32 deep"});
}

TEST_F(Manifest, CannotBeWrittenWhereThereIsNoRoom) {
  fs::remove(file());
  const FileLimit limit(10);
  expect_in(error_of([&] { write_manifest(at(), facts_); }),
            {"cannot write ", "manifest.json: File too large"});
  EXPECT_EQ(names_in(at()), (Strings{"a.txt", "deep", "empty"}));
}

}  // namespace
}  // namespace pointwork::test
