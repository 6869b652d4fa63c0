#include "pointwork/files/file.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <cstdio>

#include "tests/files/cases.h"

namespace pointwork::test {
namespace {

TEST(ReadFile, GivesEveryByte) {
  const TemporaryFolder folder;
  std::string content(200'000, 'x');
  for (size_t i = 0; i < content.size(); ++i) content[i] = static_cast<char>(i * 7);
  EXPECT_EQ(read_file(put(folder / "a", content)), content);
  EXPECT_EQ(read_file(put(folder / "empty", "")), "");
}

TEST(ReadFile, HasALimit) {
  const TemporaryFolder folder;
  const fs::path path = put(folder / "a", std::string(1000, 'x'));
  EXPECT_EQ(read_file(path, 1000).size(), 1000u);
  EXPECT_EQ(error_of([&] { read_file(path, 999); }),
            "cannot read " + path.string() + ": it is longer than 999 bytes");
  EXPECT_EQ(error_of([&] { read_file("/dev/zero", 1 << 20); }),
            "cannot read /dev/zero: it is longer than 1048576 bytes");
}

TEST(ReadFile, SaysWhyItCannot) {
  const TemporaryFolder folder;
  const std::string file = put(folder / "file", "x");
  expect_in(error_of([&] { read_file(folder / "absent"); }),
            {"cannot read ", "absent: No such file or directory"});
  expect_in(error_of([&] { read_file(folder.path()); }), {"it is a folder, expected a file"});
  expect_in(error_of([&] { read_file(file + "/below"); }), {"Not a directory"});
}

TEST(WriteFile, MakesAndReplaces) {
  const TemporaryFolder folder;
  write_file(folder / "a", "first");
  EXPECT_EQ(content_of(folder / "a"), "first");
  const std::string second(300'000, 'y');
  write_file(folder / "a", second);
  EXPECT_EQ(content_of(folder / "a"), second);
  write_file(folder / "a", "");
  EXPECT_EQ(content_of(folder / "a"), "");
  EXPECT_EQ(names_in(folder.path()), Strings{"a"});
}

TEST(WriteFile, TakesARelativePath) {
  const TemporaryFolder folder;
  const fs::path before = fs::current_path();
  fs::current_path(folder.path());
  write_file("here", "x");
  fs::current_path(before);
  EXPECT_EQ(content_of(folder / "here"), "x");
}

TEST(WriteFile, ThatFailsLeavesWhatWasThere) {
  const TemporaryFolder folder;
  const std::string file = put(folder / "file", "before");
  fs::create_directory(folder / "sub");
  ASSERT_EQ(mkfifo((folder / "pipe").c_str(), 0600), 0);
  {
    const FileLimit limit(1000);
    EXPECT_EQ(error_of([&] { write_file(file, std::string(1001, 'x')); }),
              "cannot write " + file + ": File too large");
    write_file(folder / "fits", std::string(1000, 'x'));
  }
  expect_in(error_of([&] { write_file(file + "/below", "x"); }),
            {"cannot write ", "file/below: Not a directory"});
  expect_in(error_of([&] { write_file(folder / "absent/x", "x"); }),
            {"absent/x: No such file or directory"});
  expect_in(error_of([&] { write_file(folder / "sub", "x"); }), {"sub: it is no regular file"});
  // As with /dev/null: a rename would put a file in its place.
  expect_in(error_of([&] { write_file(folder / "pipe", "x"); }), {"pipe: it is no regular file"});
  EXPECT_TRUE(fs::is_fifo(folder / "pipe"));
  EXPECT_EQ(content_of(file), "before");
  EXPECT_EQ(names_in(folder.path()), (Strings{"file", "fits", "pipe", "sub"}));
  EXPECT_EQ(names_in(folder / "sub"), Strings{});
}

// As somebody whom permissions bind.
TEST(WriteFile, InAReadOnlyFolderFails) {
  const TemporaryFolder folder;
  put(folder / "a", "before");
  fs::permissions(folder.path(), static_cast<fs::perms>(0555));
  const std::string told = in_child([&]() -> std::string {
    if (geteuid() == 0 && setuid(65534) != 0) return "no other user";
    const std::string file = error_of([&] { write_file(folder / "a", "after"); });
    return file + "; " + error_of([&] { write_folder(folder / "new", [](const fs::path&) {}); });
  });
  if (told == "no other user") GTEST_SKIP() << "this process cannot take another user's rights";
  const std::string here = folder.path().string();
  EXPECT_EQ(told.rfind("cannot write " + here + "/a: Permission denied; cannot make the folder " +
                           here + "/new.tmp-",
                       0),
            0u)
      << told;
  EXPECT_EQ(told.substr(told.size() - 17), "Permission denied");
  EXPECT_EQ(content_of(folder / "a"), "before");
}

TEST(WriteFile, OnAFullDiskFails) {
  const TemporaryFolder folder;
  const std::string told = in_child([&]() -> std::string {
    const std::string at = folder.path();
    if (unshare(CLONE_NEWNS) != 0 ||
        mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        mount("tmpfs", at.c_str(), "tmpfs", 0, "size=256k") != 0)
      return "no mount";
    write_file(folder / "a", "before");
    const std::string large(1 << 20, 'x');
    std::string text = error_of([&] { write_file(folder / "a", large); }) + "; ";
    const auto fill = [&](const fs::path& inside) { write_file(inside / "b", large); };
    text += error_of([&] { write_folder(folder / "new", fill); });
    for (const std::string& name : names_in(at)) text += "; " + name;
    return text + " " + content_of(folder / "a");
  });
  if (told == "no mount") GTEST_SKIP() << "this process may not mount a small disk";
  expect_in(told, {"/a: No space left on device; cannot write ",
                   "/b: No space left on device; a before"});
}

// Whatever the moment, the file is the one or the other, whole.
TEST(WriteFile, ThatIsKilledLeavesAWholeFile) {
  const TemporaryFolder folder;
  const fs::path path = folder / "a";
  const std::string contents[] = {std::string(1 << 20, 'a'), std::string((1 << 20) + 7, 'b')};
  write_file(path, contents[0]);
  for (int round = 0; round < 20; ++round) {
    const pid_t child = fork();
    if (child == 0) {
      for (int i = 0;; ++i) write_file(path, contents[i % 2]);
    }
    usleep(static_cast<useconds_t>(1000 + 1733 * (round % 7)));
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    const std::string found = content_of(path);
    ASSERT_TRUE(found == contents[0] || found == contents[1]) << found.size();
  }
}

auto fill_with(const std::string& text) {
  return [text](const fs::path& folder) {
    put(folder / "x", text);
    put(folder / "deep/er/y", text);
  };
}

TEST(WriteFolder, AppearsWhole) {
  const TemporaryFolder folder;
  write_folder(folder / "new/parents/out", [&](const fs::path& at) {
    EXPECT_FALSE(fs::exists(folder / "new/parents/out"));
    EXPECT_EQ(at.parent_path(), folder / "new/parents");
    fill_with("1")(at);
  });
  EXPECT_EQ(names_in(folder / "new/parents"), Strings{"out"});
  EXPECT_EQ(content_of(folder / "new/parents/out/deep/er/y"), "1");
  write_folder(folder.path().string() + "/slash/", fill_with("2"));
  EXPECT_EQ(content_of(folder / "slash/x"), "2");
}

TEST(WriteFolder, DoesNotReplaceUnlessAsked) {
  const TemporaryFolder folder;
  const fs::path out = folder / "out";
  write_folder(out, fill_with("1"));
  EXPECT_EQ(error_of([&] { write_folder(out, fill_with("2")); }),
            out.string() + " exists already (--force replaces it)");
  put(folder / "file", "x");
  EXPECT_THROW(write_folder(folder / "file", fill_with("2")), Error);
  fs::create_symlink("nowhere", folder / "link");
  EXPECT_THROW(write_folder(folder / "link", fill_with("2")), Error);
  EXPECT_EQ(content_of(out / "x"), "1");
  EXPECT_EQ(names_in(folder.path()), (Strings{"file", "link", "out"}));

  put(out / "old", "only before");
  write_folder(out, fill_with("2"), {.replace = true});
  EXPECT_EQ(names_in(out), (Strings{"deep", "x"}));
  EXPECT_EQ(content_of(out / "x"), "2");
  write_folder(folder / "file", fill_with("3"), {.replace = true});
  EXPECT_EQ(content_of(folder / "file/x"), "3");
  EXPECT_EQ(names_in(folder.path()), (Strings{"file", "link", "out"}));
}

TEST(WriteFolder, ThatFailsLeavesNothingOrWhatWasThere) {
  const TemporaryFolder folder;
  const fs::path out = folder / "out";
  const auto failing = [&](bool replace) {
    struct Odd {};
    const FolderOptions options{replace};
    EXPECT_THROW(write_folder(
                     out,
                     [](const fs::path& at) {
                       put(at / "x", "n");
                       throw Odd();
                     },
                     options),
                 Odd);
    EXPECT_EQ(error_of([&] {
                write_folder(
                    out,
                    [](const fs::path& at) {
                      put(at / "x", "n");
                      fail("why");
                    },
                    options);
              }),
              "why");
    expect_in(error_of([&] {
                write_folder(
                    out, [](const fs::path& at) { fs::rename(at / "absent", at / "other"); },
                    options);
              }),
              {"cannot write " + out.string() + ": No such file or directory"});
    const FileLimit limit(1000);
    expect_in(error_of([&] {
                write_folder(
                    out, [](const fs::path& at) { write_file(at / "x", std::string(2000, 'n')); },
                    options);
              }),
              {"cannot write ", "/x: File too large"});
  };
  failing(false);
  EXPECT_EQ(names_in(folder.path()), Strings{});
  write_folder(out, fill_with("before"));
  failing(true);
  EXPECT_EQ(names_in(folder.path()), Strings{"out"});
  EXPECT_EQ(content_of(out / "deep/er/y"), "before");
}

TEST(WriteFolder, SaysWhyThereCanBeNone) {
  const TemporaryFolder folder;
  const std::string file = put(folder / "file", "x");
  expect_in(error_of([&] { write_folder(file + "/out", fill_with("1")); }),
            {"cannot make the folder " + file, "Not a directory"});
  expect_in(error_of([&] { write_folder(folder / std::string(300, 'n'), fill_with("1")); }),
            {"cannot make the folder ", "File name too long"});
}

// With a file system that exchanges names, one of the two is there at any moment.
TEST(WriteFolder, IsReplacedWithoutAGap) {
  const TemporaryFolder folder;
  const fs::path out = folder / "out";
  fs::create_directory(folder / "p");
  fs::create_directory(folder / "q");
  if (renameat2(AT_FDCWD, (folder / "p").c_str(), AT_FDCWD, (folder / "q").c_str(),
                RENAME_EXCHANGE) != 0)
    GTEST_SKIP() << "this file system does not exchange two names";
  write_folder(out, fill_with("1"));
  const pid_t child = fork();
  if (child == 0) {
    for (int i = 0; i < 40; ++i) write_folder(out, fill_with("2"), {.replace = true});
    _exit(0);
  }
  int seen = 0;
  for (int status = 0; waitpid(child, &status, WNOHANG) == 0; ++seen) {
    struct stat there {};
    ASSERT_EQ(stat(out.c_str(), &there), 0) << "gone after " << seen << " looks";
  }
  EXPECT_GT(seen, 100);
}

TEST(FsyncPath, NamesWhatIsMissing) {
  const TemporaryFolder folder;
  EXPECT_NO_THROW(fsync_path(folder.path()));
  EXPECT_NO_THROW(fsync_path(put(folder / "a", "x")));
  expect_in(error_of([&] { fsync_path(folder / "absent"); }), {"absent: No such file"});
}

TEST(MappedFile, HoldsTheBytesWhereverItIsMoved) {
  const TemporaryFolder folder;
  MappedFile first(put(folder / "a", "first"));
  const std::byte* at = first.bytes().data();
  EXPECT_EQ(first.path(), folder / "a");
  MappedFile moved(std::move(first));
  EXPECT_EQ(moved.bytes().data(), at);
  EXPECT_EQ(moved.bytes().size(), 5u);
  EXPECT_TRUE(first.bytes().empty());
  MappedFile second(put(folder / "b", "second!"));
  second = std::move(moved);
  EXPECT_EQ(second.bytes().data(), at);
  EXPECT_EQ(second.path(), folder / "a");
  EXPECT_EQ(static_cast<char>(second.bytes()[4]), 't');
  fs::remove(folder / "a");  // the bytes stay
  EXPECT_EQ(static_cast<char>(second.bytes()[0]), 'f');
}

TEST(MappedFile, OfAnEmptyFileIsEmpty) {
  const TemporaryFolder folder;
  EXPECT_TRUE(MappedFile(put(folder / "a", "")).bytes().empty());
}

TEST(MappedFile, SaysWhyItCannot) {
  const TemporaryFolder folder;
  expect_in(error_of([&] { MappedFile(folder / "absent"); }), {"absent: No such file"});
  expect_in(error_of([&] { MappedFile(folder.path()); }), {"expected a file"});
  expect_in(error_of([] { MappedFile("/dev/zero"); }), {"/dev/zero: expected a file"});
}

}  // namespace
}  // namespace pointwork::test
