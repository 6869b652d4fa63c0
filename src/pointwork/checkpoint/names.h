#pragma once
// What the tensors of each class of Hugging Face's transformers are called, beside ours. The word
// gate stands for a router here alone.

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "pointwork/checkpoint/layout.h"

namespace pointwork {

// How a tensor of theirs lies in one of ours.
enum class Fold {
  rows,        // theirs, one after another, are the rows of ours
  transposed,  // GPT-2's Conv1D: [in, out], ours is [out, in]
  heads        // GPT-NeoX: query, key and value of a head together; ours has all queries first
};

struct ExpertNames {
  std::string_view gate, up, down;                 // {e} is the expert's number
  std::string_view gate_up_stacked, down_stacked;  // or all experts' in one tensor
};

// Names within a layer follow `layer`, its number and a dot. "": the class has no such tensor.
struct ClassNames {
  std::string_view model_type, architecture;
  std::string_view prefix;  // of all but the head; a file may go without it
  std::string_view embedding, position, norm, head, layer;
  std::string_view attention_norm, mlp_norm;
  std::vector<std::string_view> qkv;  // one packed projection, or query, key, value
  std::string_view output, query_norm, key_norm;
  std::vector<std::string_view> up;  // of a gated mlp the gate first
  std::string_view down;
  Fold attention_fold = Fold::rows, mlp_fold = Fold::rows;
  std::vector<std::string_view> router;  // spellings; the first is what is written
  std::vector<ExpertNames> experts;      // spellings, as above
  std::vector<std::string_view> shared_up;
  std::string_view shared_down, shared_router;
  std::vector<std::string_view> buffers;  // ends of names of what is computed, not learnt
};

const std::vector<ClassNames>& all_classes();
const ClassNames* class_named(std::string_view model_type);  // null where it is none of them

struct Part {
  std::string name;  // theirs, without the prefix
  std::vector<int64_t> shape;
};

// One tensor of ours, and those of theirs that hold the same numbers.
struct TensorMatch {
  std::string ours;
  std::vector<int64_t> shape;
  std::vector<Part> parts;
  Fold fold = Fold::rows;
  int64_t heads = 0;  // with Fold::heads
};

// Every tensor of a model of `config`, whose layers are `layers`. `has` tells which of several
// spellings a file uses; where it has none of them the first is named.
std::vector<TensorMatch> tensor_matches(const ClassNames& names, const Config& config,
                                        const std::vector<LayerLayout>& layers,
                                        const std::function<bool(const std::string&)>& has);

}  // namespace pointwork
