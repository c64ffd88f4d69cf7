package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Load reads a configuration and makes its model. Findings are in the order of the file; a configuration with others
// than fatal ones is to be used. The error is that of a file that can't be read at all.
func Load(file string, o Options) (*Config, []Finding, error) {
	statements, findings, err := Read(file, o)
	if err != nil {
		return nil, findings, err
	}
	b := &builder{config: &Config{File: file}, groups: map[string]*group{}, files: map[string]*trackFile{}, marks: map[uint32]bool{}, findings: findings}
	b.config.Global = defaultGlobal()
	b.config.VRRP.Defaults = defaultVRRP()
	b.walk(rootBlock, statements)
	b.finish()
	files := map[string]int{}
	for i := range b.findings {
		if _, ok := files[b.findings[i].At.File]; !ok {
			files[b.findings[i].At.File] = len(files)
		}
	}
	slices.SortStableFunc(b.findings, func(x, y Finding) int {
		return cmp.Or(cmp.Compare(files[x.At.File], files[y.At.File]), cmp.Compare(x.At.Line, y.At.Line))
	})
	return b.config, b.findings, nil
}

// A builder holds what is being built: the innermost blocks that are open, and what is settled at the end.
type builder struct {
	config   *Config
	findings []Finding

	virtual *virtualBuild
	real    *realBuild
	check   *checkBuild
	url     *urlBuild
	file    *trackFile
	servers []*virtualBuild
	groups  map[string]*group
	files   map[string]*trackFile
	marks   map[uint32]bool // of checks by the VIP
	vrrp    vrrpBuild
	ssl     sslBuild
	sslAt   Position   // of the block
	sslSaid bool       // that it can't be used
	at      *blockKind // the kind of the block that is walked
}

// walk reads the statements of a block.
func (b *builder) walk(kind *blockKind, statements []Statement) {
	was := b.at
	b.at = kind
	defer func() { b.at = was }()
	for i := range statements {
		s := &statements[i]
		row := kind.find(s.Keyword())
		if row == nil && kind.word != nil {
			kind.word(b, s)
			continue
		}
		if row == nil {
			b.find(s, Error, "unknown keyword"+b.where(), kind.suggest(s.Keyword()))
			continue
		}
		switch row.status {
		case Checked:
			b.find(s, Note, "nothing acts on it yet", "")
		case Noted:
			b.find(s, Note, row.remark, "")
		case Refused:
			b.find(s, Error, row.remark, "")
		}
		if row.read != nil {
			row.read(b, s)
		}
	}
}

// enter walks the block of a statement. One without a brace is told, and is empty: keepalived takes the lines that follow as its
// content, up to the brace that was to close what is around it.
func (b *builder) enter(kind *blockKind, s *Statement) {
	if !s.HasBlock {
		b.wrong(s, "there is no { behind it, so it is empty here; keepalived takes the lines that follow for its content")
	}
	b.walk(kind, s.Block)
}

// where says which block is walked.
func (b *builder) where() string {
	if b.at == nil || b.at.name == "" {
		return ""
	}
	return " in " + b.at.name
}

func (b *builder) find(s *Statement, severity Severity, reason, suggestion string) {
	b.findings = append(b.findings, Finding{At: s.At, Severity: severity, Keyword: s.Keyword(), Reason: reason, Suggestion: suggestion})
}

// wrong says what is wrong with a statement's values.
func (b *builder) wrong(s *Statement, format string, args ...any) {
	b.find(s, Error, fmt.Sprintf(format, args...), "")
}

// warn says what keepalived would warn of.
func (b *builder) warn(at Position, keyword, format string, args ...any) {
	b.findings = append(b.findings, Finding{At: at, Severity: Warning, Keyword: keyword, Reason: fmt.Sprintf(format, args...)})
}

// opens reads a statement's block as of a kind.
func opens(kind *blockKind) reader1 {
	return func(b *builder, s *Statement) {
		if !s.HasBlock {
			b.wrong(s, "want a block { ... }")
			return
		}
		b.enter(kind, s)
	}
}

// words are all the words of a block, however they are spread over lines.
func words(s *Statement) []string {
	var list []string
	for i := range s.Block {
		list = append(list, s.Block[i].Words...)
	}
	return list
}

// rootBlock is the outermost.
var rootBlock = &blockKind{}

func init() { // the tables refer to each other by the functions that read their blocks
	rootBlock.rows = slices.Concat(rootRows, vrrpRootRows, droverRootRows)
}

var rootRows = []row{
	{"global_defs", Acted, "", func(b *builder, s *Statement) { opens(globalBlock)(b, s) }},
	{"virtual_server_group", Acted, "", (*builder).readGroup},
	{"virtual_server", Acted, "", (*builder).readVirtual},
	{"SSL", Acted, "what SSL_GET presents and trusts", (*builder).readSSL},
	{"net_namespace", Noted, "start the director in the namespace: ip netns exec NAME drover director", nil},
	{"net_namespace_ipvs", Noted, "the director works in the network namespace that it is started in", nil},
	{"namespace_with_ipsets", Noted, "no ipsets are used", nil},
	{"instance", Noted, "it names keepalived's files of process IDs; -p names Drover's", nil},
	{"use_pid_dir", Noted, "the process ID is written to the file that -p names", nil},
	{"linkbeat_use_polling", Noted, "links are watched by netlink", nil},
	{"child_wait_time", Noted, "there are no child processes but scripts", nil},
	{"linkbeat_interfaces", Noted, "links are watched by netlink", nil},
	{"checker", Noted, "there is one process", nil},
	{"vrrp", Noted, "there is one process", nil},
	{"track_file vrrp_track_file", Acted, "for FILE_CHECK", (*builder).readTrackFile},
	{"random_seed", Noted, "chance needs no seed", nil},
	{"include_check", Noted, "includer, includem, includew, includeb and includea say what must be there", nil},
	{"data_use_instance json_version state_dump_file stats_dump_file json_dump_file debug umask fork_delay timer_expired_backup thread_timer_expired reload_file reload_repeat reload_time_file reload_check_config config_save_dir", Noted, "of keepalived's own processes", nil},
}

func joined(words []string) string { return strings.Join(words, " ") }
