#include <algorithm>
#include <map>
#include <utility>

#include "pointwork/base/nearest.h"
#include "pointwork/base/printable.h"
#include "pointwork/config/config.h"
#include "pointwork/config/grammar.h"
#include "pointwork/config/route_problems.h"

namespace pointwork {
namespace {

// Of attention and mlp, rounds counted: each is a site to build and to run.
constexpr int64_t kMostLeaves = 100'000;
// A parameter's name has a part for every branch above it: the branch's name or "body", a dot, and
// a number where a name comes twice. Names in safetensors end at 512 bytes, and layer and leaf have
// up to 50.
constexpr size_t kLongestName = 64, kPartBesides = 8, kLongestPath = 460, kDeepest = 32;
// Rows and slots are numbered by int32.
constexpr int64_t kMostTokens = INT32_MAX;
constexpr size_t kMostHints = 100;

class Checker {
 public:
  explicit Checker(const Config& config) : config_(config) {
    for (const auto& [name, branch] : config.branch) names_.push_back(name);
  }

  std::vector<std::string> run() {
    trunk();
    for (const auto& [name, branch] : config_.branch) one_branch(name, branch);
    cycles();
    if (problems_.empty()) unfolded();
    if (problems_.empty()) add(place_problems(config_));
    train();
    return std::move(problems_);
  }

 private:
  template <class... Parts>
  void problem(const Parts&... parts) {
    problems_.push_back(concat(parts...));
  }

  void name_exists(const std::string& key, const std::string& name) {
    if (config_.branch.count(name)) return;
    problem(key, " names the branch '", printable(name), "', but there is no [branch.",
            printable(name), "]", problems_.size() < kMostHints ? did_you_mean(name, names_) : "");
  }

  void trunk() {
    const ModelConfig& m = config_.model;
    const int64_t fixed = static_cast<int64_t>(m.layers.first.size() + m.layers.last.size());
    for (const auto& name : m.layers.first) name_exists("model.layers.first", name);
    for (const auto& name : m.layers.repeat) name_exists("model.layers", name);
    for (const auto& name : m.layers.last) name_exists("model.layers.last", name);
    if (fixed > m.num_hidden_layers) {
      problem("model.layers: first and last name ", fixed,
              " layers, but model.num_hidden_layers is ", m.num_hidden_layers);
    } else if (m.layers.repeat.empty() && fixed < m.num_hidden_layers) {
      problem("model.layers must name the branches of ", m.num_hidden_layers,
              " layers, as [\"dense\"], but names ",
              fixed == 0 ? "none" : concat(fixed, " and nothing to repeat"));
    }
  }

  void one_branch(const std::string& name, const BranchConfig& branch) {
    const std::string path = "branch." + printable(name);
    const bool plain = !name.empty() && std::all_of(name.begin(), name.end(), [](unsigned char c) {
      return std::isalnum(c) || c == '_' || c == '-';
    });
    if (!plain) problem(path, ": a branch's name must be of letters, digits, '_' and '-'");
    if (name.size() > kLongestName)
      problem(path, ": a branch's name must have at most ", kLongestName, " letters, found ",
              name.size());
    if (branch.form.index() >= 2 && children_of(branch).empty())
      problem(path, ".of must name at least one branch but is empty");
    for (const std::string& child : children_of(branch)) name_exists(path + ".of", child);
    if (const auto* attention = std::get_if<AttentionConfig>(&branch.form)) {
      sizes(path, *attention);
      add(route_problems(path, config_, *attention));
    }
    if (const auto* parallel = std::get_if<ParallelConfig>(&branch.form)) {
      shared(path, *parallel);
    }
    if (const auto* routed = std::get_if<RoutedConfig>(&branch.form))
      add(route_problems(path, config_, *routed));
  }

  void add(std::vector<std::string> more) {
    for (std::string& one : more) problems_.push_back(std::move(one));
  }

  // What reads the norm of the branch around it.
  void shared(const std::string& path, const ParallelConfig& parallel) {
    if (parallel.norm == ParallelNorm::inside) return;
    for (const std::string& child : parallel.of) {
      const auto found = config_.branch.find(child);
      if (found == config_.branch.end()) continue;
      const auto* routed = std::get_if<RoutedConfig>(&found->second.form);
      const std::string what = concat(path, ".norm is \"outside\", but '", printable(child), "' ");
      if (child == "norm") problem(what, "has the norm's own name");
      if (found->second.form.index() >= 2 && !(routed && routed_mlp(config_, *routed)))
        problem(what, "is of kind \"", found->second.kind(),
                "\", expected an attention, an mlp or a routed mlp");
      else if (routed && routed->norm == RoutedNorm::inside)
        problem(what, "has norm = \"inside\"");
      const auto* attention = std::get_if<AttentionConfig>(&found->second.form);
      if (attention && attention->projection_route)
        problem(what, "has a projection_route, each of whose experts has its own norm");
    }
  }

  void sizes(const std::string& path, const AttentionConfig& a) {
    const int64_t heads = a.num_attention_heads, hidden = config_.model.hidden_size;
    if (a.num_key_value_heads > 0 && heads % a.num_key_value_heads != 0) {
      problem(path, ".num_key_value_heads is ", a.num_key_value_heads,
              ", which does not divide num_attention_heads = ", heads);
    }
    if (a.head_dim == 0 && hidden % heads != 0) {
      problem(path, ".num_attention_heads is ", heads,
              ", which does not divide model.hidden_size = ", hidden,
              "; give head_dim, or another number of heads");
      return;
    }
    const RopeScalingConfig& r = a.rope_scaling;
    if (r.kind == RopeScalingKind::llama3 && r.high_freq_factor <= r.low_freq_factor)
      problem(path, ".rope_scaling.high_freq_factor is ", r.high_freq_factor,
              ", expected more than low_freq_factor = ", r.low_freq_factor);
    const int64_t width = a.head_dim > 0 ? a.head_dim : hidden / heads;
    const int64_t rotated = rotary_width(a, width);
    if (a.rope_theta > 0 && rotated == 0) {
      problem(path, ".partial_rotary_factor leaves no width to rotate in a head of ", width);
    } else if (rotated % 2 != 0) {
      problem(path, ": a head's rotated width must be even but is ", rotated, " (head_dim ", width,
              " x partial_rotary_factor ", a.partial_rotary_factor, ")");
    }
  }

  // Among all branches, used or not.
  void cycles() {
    std::vector<std::string> above;
    for (const std::string& name : names_) depth_of(name, above);
  }

  size_t depth_of(const std::string& name, std::vector<std::string>& above) {
    if (const auto known = depths_.find(name); known != depths_.end()) return known->second;
    if (const auto at = std::find(above.begin(), above.end(), name); at != above.end()) {
      std::string way;
      for (auto one = at; one != above.end(); ++one) way += *one + " -> ";
      problem("branch.", name, " contains itself: ", way, name);
      return 0;
    }
    const auto found = config_.branch.find(name);
    if (found == config_.branch.end()) return 0;
    above.push_back(name);
    size_t inside = 0;
    if (above.size() > kDeepest) {
      inside = kDeepest;  // or more: deep enough for an error, and for the stack
    } else {
      for (const std::string& child : children_of(found->second))
        inside = std::max(inside, depth_of(child, above));
    }
    above.pop_back();
    if (inside >= kDeepest && !std::exchange(too_deep_, true))
      problem("branch.", name, " has branches in it that stand in one another more than ",
              kDeepest - 1, " deep");
    return depths_[name] = inside + 1;
  }

  // Trees too large to build, names too long to save.
  void unfolded() {
    std::map<std::string, int64_t> leaves;
    std::map<std::string, size_t> bytes;
    int64_t total = 0;
    for (const std::string& layer : layer_names(config_.model)) {
      measure(layer, leaves, bytes);
      total = std::min(total + leaves[layer], kMostLeaves + 1);
      if (bytes[layer] > kLongestPath) {
        problem("branch.", layer, ": names of parameters in it would have up to ", bytes[layer],
                " letters; at most ", kLongestPath,
                " are allowed: shorten the names of the branches in it");
        return;
      }
    }
    if (total > kMostLeaves)
      problem("model.layers: the grammar unfolds to more than ", kMostLeaves,
              " applications of attention and mlp");
  }

  void measure(const std::string& name, std::map<std::string, int64_t>& leaves,
               std::map<std::string, size_t>& bytes) {
    if (leaves.count(name)) return;
    const BranchConfig& branch = config_.branch.at(name);
    const std::vector<std::string> children = children_of(branch);
    int64_t inside = children.empty() ? 1 : 0;
    size_t longest = 0;
    for (const std::string& child : children) {
      measure(child, leaves, bytes);
      inside = std::min(inside + leaves[child], kMostLeaves + 1);
      longest = std::max(longest, bytes[child]);
    }
    const auto* repeat = std::get_if<RepeatConfig>(&branch.form);
    leaves[name] = std::min(inside * (repeat ? repeat->times : 1), kMostLeaves + 1);
    bytes[name] = longest + name.size() + kPartBesides;
  }

  void train() {
    const TrainConfig& t = config_.train;
    const ModelConfig& m = config_.model;
    if (m.position_embedding == PositionEmbedding::learned &&
        t.sequence_length > m.max_position_embeddings) {
      problem("train.sequence_length is ", t.sequence_length, ", more than the ",
              m.max_position_embeddings, " learned positions of model.max_position_embeddings");
    }
    int64_t tokens = 0;
    if (__builtin_mul_overflow(t.batch_size, t.sequence_length, &tokens) ||
        __builtin_mul_overflow(tokens, t.gradient_accumulation_steps, &tokens) ||
        tokens > kMostTokens) {
      problem("train: a step must have at most ", kMostTokens, " tokens, but batch_size ",
              t.batch_size, " x sequence_length ", t.sequence_length,
              " x gradient_accumulation_steps ", t.gradient_accumulation_steps, " are more");
    }
    if ((t.steps > 0) + (t.tokens > 0) + (t.flops > 0) > 1) {
      problem("train: give one budget of steps, tokens and flops; found",
              t.steps > 0 ? concat(" steps = ", t.steps) : "",
              t.tokens > 0 ? concat(" tokens = ", t.tokens) : "",
              t.flops > 0 ? concat(" flops = ", t.flops) : "");
    }
    const DistillConfig& d = config_.distill;
    if (!d.teacher.empty() && d.hard_weight == 0 && d.soft_weight == 0)
      problem("distill: hard_weight and soft_weight are both 0, so there is nothing to learn");
    const ScheduleConfig& s = config_.schedule;
    if (s.kind == ScheduleKind::wsd && s.warmup_share + s.decay_share > 1) {
      problem("schedule: warmup_share ", s.warmup_share, " and decay_share ", s.decay_share,
              " are more than the whole run together");
    }
  }

  const Config& config_;
  std::vector<std::string> names_, problems_;
  std::map<std::string, size_t> depths_;
  bool too_deep_ = false;
};

}  // namespace

std::vector<std::string> problems(const Config& config) { return Checker(config).run(); }

}  // namespace pointwork
