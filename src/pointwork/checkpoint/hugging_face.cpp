#include "pointwork/checkpoint/hugging_face.h"

#include <algorithm>
#include <cstring>
#include <set>

#include "pointwork/base/check.h"
#include "pointwork/base/printable.h"
#include "pointwork/checkpoint/tensors.h"
#include "pointwork/files/file.h"

namespace pointwork {
namespace {

namespace fs = std::filesystem;

constexpr const char* kConfig = "config.json";
constexpr uint64_t kLongestConfig = uint64_t{16} << 20;

OrderedJson read_config(const fs::path& folder) {
  return parse_object(read_file(folder / kConfig, kLongestConfig), (folder / kConfig).string());
}

// With pointwork.toml beside it, which says more and must not say anything else.
Config whole_config(const fs::path& folder, const OrderedJson& json) {
  Config config = config_of(json, (folder / kConfig).string());
  const fs::path truth = folder / "pointwork.toml";
  std::error_code error;
  if (!fs::exists(truth, error)) return config;
  Config own = load_config(truth);
  check(same_computation(own, config), folder.string(),
        ": pointwork.toml and config.json say different models; remove the one that is not meant");
  return own;
}

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text;
  for (const int64_t n : shape) text += concat(text.empty() ? "" : ", ", n);
  return "[" + text + "]";
}

bool is_router(const TensorMatch& match) { return match.ours.ends_with(".router.weight"); }

// A shape whose first size is divided.
std::vector<int64_t> divided(std::vector<int64_t> first, const std::vector<int64_t>& shape) {
  first.insert(first.end(), shape.begin() + 1, shape.end());
  return first;
}

}  // namespace

Tensor piece_of_ours(const TensorMatch& match, const Tensor& theirs) {
  switch (match.fold) {
    case Fold::rows:
      return theirs;
    case Fold::transposed:
      return theirs.t();
    case Fold::heads:
      return theirs
          .view(divided({match.heads, 3, theirs.size(0) / (3 * match.heads)}, theirs.sizes().vec()))
          .transpose(0, 1);
  }
  fail("unknown fold");
}

Tensor piece_of_theirs(const TensorMatch& match, size_t part, const Tensor& whole) {
  const std::vector<int64_t>& shape = match.parts[part].shape;
  switch (match.fold) {
    case Fold::rows: {
      int64_t before = 0, count = 1;
      for (size_t i = 0; i <= part; ++i) {
        before += i > 0 ? count : 0;
        count = 1;
        for (const int64_t n : match.parts[i].shape) count *= n;
      }
      return whole.view({-1}).narrow(0, before, count).view(shape);
    }
    case Fold::transposed:
      return whole.t();
    case Fold::heads:
      return whole.view(divided({3, match.heads, shape[0] / (3 * match.heads)}, shape))
          .transpose(0, 1);
  }
  fail("unknown fold");
}

bool is_hugging_face(const fs::path& folder) {
  std::error_code error;
  if (!fs::is_regular_file(folder / kConfig, error)) return false;
  try {
    const OrderedJson json = read_config(folder);
    return json.contains("model_type") && json["model_type"] != "pointwork";
  } catch (const Error&) {
    return false;
  }
}

HuggingFaceModel::HuggingFaceModel(const fs::path& folder)
    : json_(read_config(folder)),
      config_(whole_config(folder, json_)),
      names_(class_named(json_["model_type"].get<std::string>())),
      files_(folder) {
  name_tensors(folder);
  const auto layers = layouts_of(config_);
  check(layers.has_value(), folder.string(), ": a shape that the class cannot have");
  matches_ = tensor_matches(*names_, config_, *layers,
                            [&](const std::string& name) { return actual_.count(name) > 0; });
  check_rest(folder);
  check_shapes(folder);
  check_tied(folder);
}

void HuggingFaceModel::name_tensors(const fs::path& folder) {
  for (const std::string& name : files_.names()) {
    const bool prefixed = name.starts_with(names_->prefix);
    const std::string bare = prefixed ? name.substr(names_->prefix.size()) : name;
    const auto [at, fresh] = actual_.emplace(bare, name);
    check(fresh, folder.string(), ": the tensors '", printable(at->second), "' and '",
          printable(name), "' are both there, and either may be meant");
  }
}

// Tensors that nobody asks for, and the other name of a tied weight.
void HuggingFaceModel::check_rest(const fs::path& folder) {
  std::set<std::string> asked;
  for (const TensorMatch& match : matches_) {
    for (const Part& part : match.parts) asked.insert(part.name);
  }
  const std::string head = concat(names_->head, ".weight"),
                    embedding = concat(names_->embedding, ".weight");
  if (config_.model.tie_word_embeddings) {
    // Of a shared weight a file may keep either name.
    if (!actual_.count(embedding) && actual_.count(head)) {
      actual_[embedding] = actual_[head];
      actual_.erase(head);
    }
    asked.insert(head);
  }
  for (const auto& [name, actual] : actual_) {
    const bool computed =
        std::any_of(names_->buffers.begin(), names_->buffers.end(),
                    [&, &bare = name](std::string_view end) { return bare.ends_with(end); });
    check(computed || asked.count(name) > 0, folder.string(), ": the tensor '", printable(actual),
          "' in ", files_.file_of(actual), " has no place in a ", names_->model_type,
          " as config.json describes it");
  }
}

void HuggingFaceModel::check_shapes(const fs::path& folder) {
  bool first = true;
  for (const TensorMatch& match : matches_) {
    for (const Part& part : match.parts) {
      const auto found = actual_.find(part.name);
      const bool head = part.name == concat(names_->head, ".weight");
      check(found != actual_.end(), folder.string(), ": the tensor '", printable(part.name),
            "' is missing, expected ", shape_text(part.shape), " as config.json describes it",
            head ? " (tie_word_embeddings is false)" : "");
      const TensorEntry& entry = *files_.find(found->second);
      check(entry.shape == part.shape, folder.string(), ": the tensor '", printable(found->second),
            "' must be ", shape_text(part.shape), " as config.json describes it, but is ",
            shape_text(entry.shape));
      const bool known = entry.dtype == "F32" || entry.dtype == "F16" || entry.dtype == "BF16" ||
                         entry.dtype == "F64";
      check(known, folder.string(), ": the tensor '", printable(found->second), "' is ",
            entry.dtype, ", expected F64, F32, BF16 or F16");
      if (is_router(match)) continue;
      const torch::Dtype dtype = entry.dtype == "F16" ? torch::kFloat32 : dtype_of(entry.dtype);
      dtype_ = first ? dtype : torch::promoteTypes(dtype_, dtype);
      first = false;
    }
  }
}

void HuggingFaceModel::check_tied(const fs::path& folder) const {
  const auto head = actual_.find(concat(names_->head, ".weight")),
             embedding = actual_.find(concat(names_->embedding, ".weight"));
  if (!config_.model.tie_word_embeddings || head == actual_.end()) return;
  const Tensor one = files_.view(embedding->second), other = files_.view(head->second);
  const bool same = one.scalar_type() == other.scalar_type() && one.sizes() == other.sizes() &&
                    std::memcmp(one.data_ptr(), other.data_ptr(), one.nbytes()) == 0;
  check(same, folder.string(), ": tie_word_embeddings is true, but the tensors '",
        printable(head->second), "' and '", printable(embedding->second), "' differ");
  files_.forget(head->second);
}

void HuggingFaceModel::each_piece(const TensorMatch& match,
                                  const std::function<void(const Tensor&)>& use) const {
  for (const Part& part : match.parts) {
    const std::string& name = actual_.at(part.name);
    use(piece_of_ours(match, files_.view(name)));
    files_.forget(name);
  }
}

}  // namespace pointwork
