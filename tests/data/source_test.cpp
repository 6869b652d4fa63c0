#include <archive.h>
#include <archive_entry.h>

#include "pointwork/data/byte_source.h"
#include "tests/data/cases.h"

namespace pointwork::test {
namespace {

using Texts = std::vector<std::string>;
using AddFilter = int (*)(archive*);

// One member without a format of its own, or an archive of several.
fs::path pack(const fs::path& path, AddFilter filter,
              const std::vector<std::pair<std::string, std::string>>& members, bool raw) {
  archive* out = archive_write_new();
  filter(out);
  raw ? archive_write_set_format_raw(out) : archive_write_set_format_pax_restricted(out);
  EXPECT_EQ(archive_write_open_filename(out, path.c_str()), ARCHIVE_OK);
  for (const auto& [name, content] : members) {
    archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, name.c_str());
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    archive_entry_set_size(entry, static_cast<la_int64_t>(content.size()));
    EXPECT_EQ(archive_write_header(out, entry), ARCHIVE_OK);
    EXPECT_EQ(archive_write_data(out, content.data(), content.size()),
              static_cast<la_ssize_t>(content.size()));
    archive_entry_free(entry);
  }
  archive_write_free(out);
  return path;
}

struct Packing {
  const char* ending;
  AddFilter filter;
};
const Packing kPackings[] = {{".gz", archive_write_add_filter_gzip},
                             {".bz2", archive_write_add_filter_bzip2},
                             {".xz", archive_write_add_filter_xz},
                             {".zst", archive_write_add_filter_zstd}};

TEST(Source, CompressedFilesReadAsWhatTheyHold) {
  const TemporaryFolder folder;
  std::string text;
  for (int i = 0; i < 100000; ++i) text += concat("line ", i * 7919 % 100003, "\n");
  for (const Packing& packing : kPackings) {
    const fs::path path =
        pack(folder / (std::string("a.txt") + packing.ending), packing.filter, {{"x", text}}, true);
    EXPECT_LT(fs::file_size(path), text.size());
    EXPECT_EQ(texts({path}), Texts({text})) << packing.ending;
    const fs::path lines = pack(folder / (std::string("b.jsonl") + packing.ending), packing.filter,
                                {{"x", json_lines(3)}}, true);
    EXPECT_EQ(texts({lines}).size(), 3u) << packing.ending;
  }
}

TEST(Source, DamagedCompressionIsNoticed) {
  const TemporaryFolder folder;
  std::string text;
  for (int i = 0; i < 50000; ++i) text += concat("line ", i * 7919 % 100003, "\n");
  for (const Packing& packing : kPackings) {
    const fs::path path =
        pack(folder / (std::string("a.txt") + packing.ending), packing.filter, {{"x", text}}, true);
    const std::string whole = content_of(path);
    write(path, whole.substr(0, whole.size() / 2));
    expect_in(error_of([&] { texts({path}); }), {path.string(), "damaged or cut short"});
    write(path, "this is plain text");
    expect_in(error_of([&] { texts({path}); }), {path.string(), "does not begin as"});
  }
}

TEST(Source, ArchivesGiveTheirMembers) {
  const TemporaryFolder folder;
  const fs::path path = pack(folder / "a.tar.gz", archive_write_add_filter_gzip,
                             {{"d/one.txt", "one"},
                              {"d/two.jsonl", "{\"text\": \"two\"}\n"},
                              {"d/picture.png", "\x89PNG"},
                              {"d/.hidden.txt", "no"}},
                             false);
  std::vector<std::string> notes;
  EXPECT_EQ(texts({path}, {.note = [&](const std::string& note) { notes.push_back(note); }}),
            Texts({"one", "two"}));
  ASSERT_EQ(notes.size(), 1u);
  expect_in(notes[0], {"a.tar.gz", "left out 1 file", "picture.png"});
}

TEST(Source, FoldersAreReadInTheOrderOfPaths) {
  const TemporaryFolder folder;
  write(folder / "in/b/2.txt", "third");
  write(folder / "in/b/1.txt", "second");
  write(folder / "in/a.txt", "first");
  write(folder / "in/.git/x.txt", "hidden");
  write(folder / "in/README.txt", "left out");
  write(folder / "in/notes.md", "fourth where a format is given");
  write(folder / "in/void.txt", "");
  std::vector<std::string> notes;
  EXPECT_EQ(
      texts({folder / "in"}, {.note = [&](const std::string& note) { notes.push_back(note); }}),
      Texts({"first", "second", "third"}));
  ASSERT_EQ(notes.size(), 2u);
  expect_in(notes[0], {"left out 2 files", "README.txt"});
  expect_in(notes[1], {"void.txt", "empty"});
  EXPECT_EQ(texts({folder / "in"}, {.format = InputFormat::text}).size(), 4u);
}

TEST(Source, InputsThatCannotBeReadAreNamed) {
  const TemporaryFolder folder;
  const auto refused = [&](const fs::path& path) { return error_of([&] { texts({path}); }); };
  expect_in(refused(folder / "missing.txt"), {"missing.txt", "no such file"});
  expect_in(refused(write(folder / "empty.txt", "")), {"empty.txt", "empty"});
  fs::create_directory(folder / "nothing");
  expect_in(refused(folder / "nothing"), {"nothing", "empty folder"});
  write(folder / "code/x.cc", "int");
  expect_in(refused(folder / "code"), {"code", "x.cc", "--format"});
  expect_in(refused(write(folder / "binary.txt", std::string("ab\0cd", 5))),
            {"binary.txt", "NUL", "byte 2"});
  expect_in(refused(write(folder / "latin1.txt", "caf\xE9 au lait")),
            {"latin1.txt", "UTF-8", "byte 3"});
}

TEST(Source, FilesThatMayNotBeReadAreNamed) {
  const TemporaryFolder folder;
  const fs::path closed = write(folder / "closed.txt", "x");
  fs::permissions(closed, fs::perms::none);
  if (std::ifstream(closed).good()) GTEST_SKIP() << "this user may read everything";
  expect_in(error_of([&] { texts({closed}); }), {"closed.txt", "Permission denied"});
}

TEST(Source, InvalidBytesAreReplacedWhereAskedFor) {
  const TemporaryFolder folder;
  std::vector<std::string> notes;
  const SourceOptions options{.replace_invalid = true,
                              .note = [&](const std::string& note) { notes.push_back(note); }};
  EXPECT_EQ(texts({write(folder / "latin1.txt", "caf\xE9 au lait")}, options),
            Texts({"caf\uFFFD au lait"}));
  ASSERT_EQ(notes.size(), 1u);
  expect_in(notes[0], {"latin1.txt", "1 times"});
}

}  // namespace
}  // namespace pointwork::test
