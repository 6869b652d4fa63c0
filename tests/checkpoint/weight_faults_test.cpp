// Weights of others that are not what they are said to be: files, names,
// shards, pickles.

#include "tests/checkpoint/faults.h"

namespace pointwork::test {
namespace {

std::vector<Fault> weight_faults() {
  const std::string norm = "model.norm.weight", q = "model.layers.0.self_attn.q_proj.weight";
  std::vector<Fault> all = {
      with_weights("a tensor missing", "llama_grouped", [=](Weights& w) { w.remove(q); },
                   {"layers.0.self_attn.q_proj.weight' is missing"}),
      with_weights("a tensor too many", "llama_grouped",
                   [=](Weights& w) { w.add("model.layers.0.extra.weight", norm); }, {"extra"}),
      with_weights("a tensor of whole numbers", "llama_grouped",
                   [=](Weights& w) { w.entry(norm).dtype = "I32"; }, {norm, "I32"}),
      with_weights("a tensor of 8-bit numbers", "llama_grouped",
                   [=](Weights& w) {
                     w.entry(q).dtype = "F8_E4M3";
                     w.bytes[q].resize(w.bytes[q].size() / 4);
                   },
                   {q, "F8_E4M3"}),
      with_weights("a matrix the other way round", "llama_grouped",
                   [=](Weights& w) { std::swap(w.entry(q).shape[0], w.entry(q).shape[1]); }, {q}),
      with_weights(
          "a matrix in one row", "llama_grouped",
          [=](Weights& w) { w.entry(q).shape = {w.entry(q).shape[0] * w.entry(q).shape[1]}; }, {q}),
      with_weights("both spellings of a router", "mixtral",
                   [](Weights& w) {
                     w.add("model.layers.0.mlp.gate.weight",
                           "model.layers.0.block_sparse_moe.gate.weight");
                   },
                   {"gate.weight"}),
      with_weights("an expert twice", "mixtral",
                   [](Weights& w) {
                     w.add("model.layers.0.block_sparse_moe.experts.5.w1.weight",
                           "model.layers.0.block_sparse_moe.experts.4.w1.weight");
                   },
                   {"experts.5"}),
      with_weights("with and without the prefix", "gpt2",
                   [](Weights& w) { w.add("ln_f.weight", "transformer.ln_f.weight"); }, {"ln_f"}),
      with_weights("no tensor", "llama_grouped", [](Weights& w) { w.entries.clear(); }, {"tensor"}),
      {"no weights",
       "llama_grouped",
       [](const fs::path& folder) { fs::remove(folder / "model.safetensors"); },
       {"no weights"}},
      {"a pickle",
       "llama_grouped",
       [](const fs::path& folder) {
         fs::rename(folder / "model.safetensors", folder / "pytorch_model.bin");
       },
       {"pytorch_model.bin", "pickle", "save_pretrained"}},
      {"a pickle by another name",
       "llama_grouped",
       [](const fs::path& folder) {
         put(folder / "model.safetensors", std::string("PK\3\4\0\0\10\10\0\0\0\0", 12));
       },
       {"model.safetensors", "not a safetensors file"}},
      {"a folder for weights",
       "llama_grouped",
       [](const fs::path& folder) {
         fs::remove(folder / "model.safetensors");
         fs::create_directory(folder / "model.safetensors");
       },
       {"model.safetensors"}},
      {"a folder for settings",
       "llama_grouped",
       [](const fs::path& folder) {
         fs::remove(folder / "config.json");
         fs::create_directory(folder / "config.json");
       },
       {"config.json"}},
      {"weights cut short",
       "llama_grouped",
       [](const fs::path& folder) {
         fs::resize_file(folder / "model.safetensors",
                         fs::file_size(folder / "model.safetensors") - 1);
       },
       {"model.safetensors", "cut short"}},
  };
  return all;
}

std::vector<Fault> index_faults() {
  const std::string name = "model.safetensors.index.json",
                    shard = "model-00002-of-00004.safetensors";
  const auto file = [&](const std::string& title, const std::string& content, const Words& words) {
    return with_file(title, name, content, words, "llama_sharded");
  };
  return {
      file("index empty", "", {name}),
      file("index no JSON", "weights", {name, "not valid JSON"}),
      file("index a list", "[]", {name, "weight_map"}),
      file("index a tensor twice",
           "{\"weight_map\":{\"a\":\"" + shard + "\",\"a\":\"model-00001-of-00004.safetensors\"}}",
           {name, "'a' twice"}),
      file("index without tensors", "{\"weight_map\":{}}", {name}),
      file("index deep", "{\"weight_map\":" + std::string(100'000, '[') + "}", {name, "deep"}),
      with_index("index without a map", [](Json& index) { index.erase("weight_map"); },
                 {name, "weight_map"}),
      with_index("index with a list",
                 [](Json& index) {
                   index["weight_map"] = {"a", "b"};
                 },
                 {name, "weight_map"}),
      with_index("index with a number",
                 [](Json& index) { index["weight_map"]["lm_head.weight"] = 3; },
                 {name, "lm_head.weight"}),
      with_index(
          "a shard elsewhere",
          [](Json& index) { index["weight_map"]["lm_head.weight"] = "../model.safetensors"; },
          {"lm_head.weight", "../model.safetensors"}),
      with_index("a shard by its whole path",
                 [](Json& index) { index["weight_map"]["lm_head.weight"] = "/etc/passwd"; },
                 {"lm_head.weight", "passwd"}),
      with_index("a shard without a name",
                 [](Json& index) { index["weight_map"]["lm_head.weight"] = ""; },
                 {"lm_head.weight"}),
      with_index("a shard that is not there",
                 [](Json& index) { index["weight_map"]["lm_head.weight"] = "model-5.safetensors"; },
                 {"model-5.safetensors", "missing"}),
      with_index("a tensor in another shard",
                 [=](Json& index) { index["weight_map"]["model.norm.weight"] = shard; },
                 {"model.norm.weight", shard}),
      with_index("a tensor that is nowhere",
                 [=](Json& index) { index["weight_map"]["nowhere"] = shard; }, {"nowhere", shard}),
      with_index("a tensor left out",
                 [](Json& index) { index["weight_map"].erase("model.norm.weight"); },
                 {"model.norm.weight"}),
      {"a shard missing",
       "llama_sharded",
       [=](const fs::path& folder) { fs::remove(folder / shard); },
       {shard, "missing"}},
      {"a shard cut short",
       "llama_sharded",
       [=](const fs::path& folder) { fs::resize_file(folder / shard, 1000); },
       {shard, "cut short"}},
      {"a tensor in two shards",
       "llama_sharded",
       [=](const fs::path& folder) {
         fs::copy_file(folder / shard, folder / "model-00003-of-00004.safetensors",
                       fs::copy_options::overwrite_existing);
       },
       {"tensor '", "model-0000"}},
      {"shards and a whole",
       "llama_sharded",
       [](const fs::path& folder) {
         fs::copy_file(kCases / "llama_grouped" / "model.safetensors",
                       folder / "model.safetensors");
       },
       {"model.safetensors", name}},
  };
}

TEST(WeightFaults, OfWeightsAreRefused) { expect_all_refused(weight_faults()); }

TEST(WeightFaults, OfAnIndexAreRefused) { expect_all_refused(index_faults()); }

}  // namespace
}  // namespace pointwork::test
