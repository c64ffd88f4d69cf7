package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"drover/internal/config"
)

// newConfigCommand is `drover config`: what a keepalived.conf says.
func newConfigCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Check, show or format a keepalived.conf",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError("unknown command %q for config", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newConfigCheck(env), newConfigShow(env), newConfigFormat(env), newConfigKeywords(env))
	return cmd
}

func configFlags(cmd *cobra.Command, file, id *string) {
	cmd.Flags().StringVarP(file, "file", "f", defaultConfig, "configuration file")
	cmd.Flags().StringVarP(id, "config-id", "i", "", "read the lines that begin with @ID too")
}

func newConfigCheck(env *environment) *cobra.Command {
	var file, id string
	var strict, asJSON bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Say what is wrong with a keepalived.conf, line by line",
		Long: `Say what is wrong with a keepalived.conf, line by line, as FILE:LINE: KEYWORD: REASON.

Exit status, as that of keepalived -t: 0 when there is nothing to say, 4 for a file that can't be read, 5 for any error
or warning, 6 for scripts without enable_script_security. Notes, about what has no effect here, count only with --strict.`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			return checkConfig(env, file, config.Options{ID: id}, strict, asJSON)
		},
	}
	configFlags(cmd, &file, &id)
	cmd.Flags().BoolVar(&strict, "strict", false, "notes count too")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

var severityWords = map[config.Severity]string{config.Note: "note", config.Warning: "warning", config.Error: "error"}

var severityStyles = map[config.Severity]style{config.Note: faint, config.Warning: yellow, config.Error: red}

// jsonFinding is a finding for programs.
type jsonFinding struct {
	File       string `json:"file"`
	Line       int    `json:"line"`
	Severity   string `json:"severity"`
	Keyword    string `json:"keyword,omitempty"`
	Reason     string `json:"reason"`
	Suggestion string `json:"suggestion,omitempty"`
}

func checkConfig(env *environment, file string, o config.Options, strict, asJSON bool) error {
	c, findings, err := config.Load(file, o)
	if err != nil {
		return &exitError{config.StatusUnreadable, err}
	}
	list := []jsonFinding{}
	for _, f := range findings {
		list = append(list, jsonFinding{f.At.File, f.At.Line, severityWords[f.Severity], f.Keyword, f.Reason, f.Suggestion})
	}
	if asJSON {
		err = writeJSON(env.stdout, list)
	} else {
		err = drawFindings(newPrinter(env), c, findings)
	}
	status := config.ExitStatus(c, findings, strict)
	if status == config.StatusInsecure {
		fmt.Fprintln(env.stderr, "drover: scripts are run, and enable_script_security is not set: others than root may be able to change them")
	}
	if err == nil && status != config.StatusFine {
		return &exitError{status: status}
	}
	return err
}

func drawFindings(p *printer, c *config.Config, findings []config.Finding) error {
	counts := map[config.Severity]int{}
	for _, f := range findings {
		counts[f.Severity]++
		if err := p.printf("%s: %s\n", p.in(severityStyles[f.Severity], severityWords[f.Severity]), f); err != nil {
			return err
		}
	}
	servers, checks := 0, 0
	for i := range c.VirtualServers {
		servers += len(c.VirtualServers[i].RealServers)
		for j := range c.VirtualServers[i].RealServers {
			checks += len(c.VirtualServers[i].RealServers[j].Checks)
		}
	}
	return p.printf("%s: %s, %s, %s; %s, %s, %s\n", c.File,
		plural(len(c.VirtualServers), "virtual server"), plural(servers, "real server"), plural(checks, "check"),
		plural(counts[config.Error], "error"), plural(counts[config.Warning], "warning"), plural(counts[config.Note], "note"))
}

func newConfigShow(env *environment) *cobra.Command {
	var file, id string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Print what a keepalived.conf comes to: with defaults, inheritance and limits",
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			c, findings, err := config.Load(file, config.Options{ID: id})
			if err != nil {
				return &exitError{config.StatusUnreadable, err}
			}
			for _, f := range findings {
				if f.Severity > config.Note {
					fmt.Fprintf(env.stderr, "%s: %s\n", severityWords[f.Severity], f)
				}
			}
			if asJSON {
				return c.WriteJSON(env.stdout)
			}
			return c.WriteText(env.stdout)
		},
	}
	configFlags(cmd, &file, &id)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newConfigFormat(env *environment) *cobra.Command {
	var file string
	var write bool
	cmd := &cobra.Command{
		Use:   "format",
		Short: "Lay a keepalived.conf out anew; comments stay",
		Long: `Lay a keepalived.conf out anew: a statement on each line, blocks indented by four blanks. Comments, variables and
conditions stay as they are written; included files are left alone.`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			text, err := os.ReadFile(file)
			if err != nil {
				return &exitError{config.StatusUnreadable, err}
			}
			formatted := config.Format(text)
			if !write {
				_, err := env.stdout.Write(formatted)
				return err
			}
			return replaceFile(file, formatted)
		},
	}
	cmd.Flags().StringVarP(&file, "file", "f", defaultConfig, "configuration file")
	cmd.Flags().BoolVarP(&write, "write", "w", false, "write it back into the file")
	return cmd
}

// replaceFile gives a file another content, with the same mode: who reads it meanwhile finds the old or the new.
func replaceFile(path string, content []byte) error {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	next := path + ".new"
	if err := os.WriteFile(next, content, info.Mode().Perm()); err != nil {
		return err
	}
	return os.Rename(next, path)
}

func newConfigKeywords(env *environment) *cobra.Command {
	return &cobra.Command{
		Use:   "keywords",
		Short: "List the keywords of keepalived.conf, and what becomes of each here (Markdown)",
		Args:  noArgs,
		RunE:  func(*cobra.Command, []string) error { return config.WriteKeywords(env.stdout) },
	}
}
