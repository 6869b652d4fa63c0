#include "pointwork/data/loader.h"

#include <map>
#include <set>

#include "tests/data/cases.h"

namespace pointwork::test {
namespace {

// A data set of 200 short documents in several shards, its ids beside it.
class LoaderTest : public testing::Test {
 protected:
  LoaderTest() {
    const PrepareOptions options{.inputs = {write(folder_ / "in.jsonl", json_lines(200))},
                                 .out = folder_ / "data",
                                 .source = {},
                                 .validation_share = 0.2,
                                 .shard_tokens = 700,
                                 .progress = {}};
    prepare(options, byte_encoder());
    ids_ = ids_of(folder_ / "data", Split::train);
  }
  Dataset dataset() const { return Dataset(folder_ / "data"); }

  TemporaryFolder folder_;
  std::vector<int32_t> ids_;
};

bool equal(const Batch& a, const Batch& b) {
  return a.input == b.input && a.target == b.target && a.document == b.document &&
         a.sequence == b.sequence && a.valid == b.valid;
}

TEST_F(LoaderTest, WindowsHoldEveryTokenOnceAsTarget) {
  const Dataset data = dataset();
  EXPECT_GT(read_manifest(folder_ / "data").train.shards.size(), 3u);
  for (const int64_t length : {1, 7, 64, 699, 700, 701, 100000}) {
    Batch batch{.sequences = 1, .length = length};
    const auto size = static_cast<size_t>(length);
    batch.input.resize(size), batch.target.resize(size), batch.document.resize(size);
    batch.sequence.resize(1), batch.valid.resize(1);
    std::vector<int32_t> inputs, targets;
    for (int64_t window = 0; window < data.windows(Split::train, length); ++window) {
      data.read(Split::train, window, 0, batch);
      ASSERT_GT(batch.valid[0], 0);
      for (int64_t i = 0; i < length; ++i) {
        const auto at = static_cast<size_t>(i);
        if (i < batch.valid[0]) {
          inputs.push_back(batch.input[at]);
          targets.push_back(batch.target[at]);
        } else {
          EXPECT_EQ(batch.input[at], 0);
          EXPECT_EQ(batch.target[at], -1);
        }
      }
    }
    EXPECT_TRUE(std::equal(inputs.begin(), inputs.end(), ids_.begin(), ids_.end() - 1)) << length;
    EXPECT_TRUE(std::equal(targets.begin(), targets.end(), ids_.begin() + 1, ids_.end())) << length;
  }
}

TEST_F(LoaderTest, DocumentsAreNumberedWithinTheirSequence) {
  const Dataset data = dataset();
  constexpr int64_t kLength = 50;
  Loader loader(data, Split::train, {.sequences = 4, .length = kLength});
  for (int64_t done = 0; done < loader.windows(); done += 4) {
    const Batch batch = loader.next();
    for (int64_t row = 0; row < 4; ++row) {
      int32_t expected = 0;
      for (int64_t i = 0; i < kLength; ++i) {
        const auto at = static_cast<size_t>(row * kLength + i);
        const bool padding = i == batch.valid[static_cast<size_t>(row)];
        // A document begins after an end-of-text token; padding is a document of its own.
        if (i > 0 &&
            (padding || (i < batch.valid[static_cast<size_t>(row)] && batch.input[at - 1] == kEnd)))
          ++expected;
        ASSERT_EQ(batch.document[at], expected) << row << " " << i;
      }
    }
  }
}

TEST_F(LoaderTest, EveryWindowOnceAnEpochInAnOrderOfItsOwn) {
  const Dataset data = dataset();
  Loader loader(data, Split::train, {.sequences = 7, .length = 32, .seed = 5});
  const int64_t windows = loader.windows();
  ASSERT_NE(windows % 7, 0);  // so that a batch crosses the epoch's end
  std::vector<int64_t> order;
  while (static_cast<int64_t>(order.size()) < 3 * windows) {
    const Batch batch = loader.next();
    order.insert(order.end(), batch.sequence.begin(), batch.sequence.end());
  }
  std::set<std::vector<int64_t>> orders;
  for (int epoch = 0; epoch < 3; ++epoch) {
    const std::vector<int64_t> one(order.begin() + epoch * windows,
                                   order.begin() + (epoch + 1) * windows);
    EXPECT_EQ(static_cast<int64_t>(std::set<int64_t>(one.begin(), one.end()).size()), windows);
    EXPECT_FALSE(std::is_sorted(one.begin(), one.end()));
    orders.insert(one);
  }
  EXPECT_EQ(orders.size(), 3u);
}

TEST_F(LoaderTest, TheSeedAloneChoosesTheOrder) {
  const Dataset data = dataset();
  const auto batches = [&](uint64_t seed, bool prefetch) {
    Loader loader(data, Split::train,
                  {.sequences = 3, .length = 32, .seed = seed, .prefetch = prefetch});
    std::vector<Batch> all;
    for (int i = 0; i < 150; ++i) all.push_back(loader.next());
    return all;
  };
  const auto a = batches(1, true), b = batches(1, false), c = batches(2, true);
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_TRUE(equal(a[i], b[i])) << i;
    EXPECT_FALSE(equal(a[i], c[i])) << i;
  }
}

TEST_F(LoaderTest, StateRestoresExactly) {
  const Dataset data = dataset();
  const LoaderOptions options{.sequences = 5, .length = 32, .seed = 9};
  Loader loader(data, Split::train, options);
  std::vector<std::pair<LoaderState, Batch>> told;
  while (loader.state().epoch < 2) {
    const LoaderState state = loader.state();
    told.emplace_back(state, loader.next());
  }
  Loader same(data, Split::train, options);
  for (size_t i = told.size(); i-- > 0;) {
    same.restore(told[i].first);
    EXPECT_EQ(same.state(), told[i].first);
    EXPECT_TRUE(equal(same.next(), told[i].second)) << i;
    if (i + 1 < told.size()) {
      EXPECT_EQ(same.state(), told[i + 1].first);
    }
  }
  expect_in(error_of([&] { same.restore({.epoch = 0, .next = same.windows()}); }), {"windows"});
  expect_in(error_of([&] { same.restore({.epoch = -1, .next = 0}); }), {"epoch -1"});
}

TEST_F(LoaderTest, TooLittleDataIsSaid) {
  const TemporaryFolder folder;
  const PrepareOptions options{.inputs = {write(folder / "in.txt", "x")},
                               .out = folder / "data",
                               .source = {},
                               .progress = {}};
  prepare(options, byte_encoder());
  const Dataset data(folder / "data");
  EXPECT_EQ(data.windows(Split::train, 8), 1);
  EXPECT_EQ(data.windows(Split::validation, 8), 0);
  expect_in(error_of([&] { Loader loader(data, Split::validation, {}); }),
            {"validation", "0 tokens", "too few"});
}

TEST_F(LoaderTest, IdsBeyondTheVocabularyAreRefused) {
  const fs::path shard = folder_ / "data" / read_manifest(folder_ / "data").train.shards[0].file;
  std::string content = content_of(shard);
  content[64 + 2 * 10 + 1] = '\x7F';
  write(shard, content);
  const Dataset data = dataset();
  Loader loader(data, Split::train, {.sequences = 1, .length = 100000, .prefetch = false});
  expect_in(error_of([&] { loader.next(); }), {"vocabulary has 257", "verify"});
}

TEST_F(LoaderTest, DamagedDataSetsDoNotOpen) {
  const fs::path data = folder_ / "data";
  const auto refused = [&] { return error_of([&] { Dataset opened(data); }); };
  const std::string manifest = content_of(data / kDatasetFile);
  std::string changed = manifest;
  changed.replace(changed.find("\"vocab_size\": 257"), 17, "\"vocab_size\": 258");
  write(data / kDatasetFile, changed);
  expect_in(refused(), {kDatasetFile, "hash"});
  write(data / kDatasetFile, manifest.substr(0, manifest.size() / 2));
  expect_in(refused(), {kDatasetFile, "damaged"});
  write(data / kDatasetFile, "[]");
  expect_in(refused(), {kDatasetFile, "kind"});
  fs::remove(data / kDatasetFile);
  expect_in(refused(), {"no data set", kDatasetFile});
  write(data / kDatasetFile, manifest);
  const fs::path shard = data / read_manifest(data).train.shards[1].file;
  const std::string whole = content_of(shard);
  write(shard, whole.substr(0, whole.size() - 1));
  expect_in(refused(), {shard.string(), "cut short"});
  fs::remove(shard);
  expect_in(refused(), {shard.string(), "No such file"});
  fs::copy_file(data / read_manifest(data).train.shards[0].file, shard);
  expect_in(refused(), {shard.string(), "dataset.json says"});
  expect_in(error_of([&] { Dataset opened(folder_ / "nowhere"); }),
            {"nowhere", "no such data set"});
}

}  // namespace
}  // namespace pointwork::test
