# SPDX-License-Identifier: GPL-2.0-or-later
# What is generated and committed is what the program prints, and every key of the table is in it.
use strict;
use warnings;
use Test::More;
use Velador qw(slurp source_dir build_dir);

my ($top, $velador) = (source_dir(), build_dir() . '/velador');
my %made = ('velador.ini.sample' => '--print-sample', 'velador.ini.5' => '--print-man');
my %text;

for my $file (sort keys %made) {
	$text{$file} = slurp("$top/ini/$file");
	my $printed = `$velador $made{$file}`;
	is($?, 0, "velador $made{$file}");
	ok($printed eq $text{$file}, "ini/$file is what it prints") or diag("make it anew: velador $made{$file} > ini/$file");
}

my ($table) = slurp("$top/ini/ini_keys.def") =~ m{(/\* ---- \[velador\].*)}s;
my (@keys, @missing);
while ($table =~ /^KEY_(\w+)\("([^"]+)", \w+, (\w+),.*?, (\w+), (\w+), "([\w ]*)",\n/mg) {
	push @keys, { section => lc $1, name => $2, when => $4, effect => $5, alias => $6 };
}
is(scalar(@keys), scalar(() = $table =~ /^KEY_\w+\(/mg), scalar(@keys) . ' keys in the table');

sub section_of {
	my ($file, $section) = @_;
	my $begin = $file eq 'velador.ini.5' ? qr/^\.Ss \[\Q$section\E[^\n]*$/m
		: $section eq 'gateway' ? qr/^# One section for each gateway/m : qr/^\[\Q$section\E\]$/m;
	my (undef, $rest) = split $begin, $text{$file}, 2;
	return '' unless defined $rest;
	return $file eq 'velador.ini.5' ? $rest =~ s/^\.S[sh] .*//smr : $rest =~ s/^\[.*//smr;
}
for my $key (@keys) {
	my $sample = section_of('velador.ini.sample', $key->{section});
	my $man = section_of('velador.ini.5', $key->{section});
	my ($of_sample) = $sample =~ /((?:^# [^\n]*\n)*)^(?:# )?\Q$key->{name}\E =/m;
	my ($of_man) = $man =~ /^\.It Cm \Q$key->{name}\E\n(.*?)(?=^\.(?:It|El))/sm;
	push @missing, "$key->{section}.$key->{name}: not in the sample" unless defined $of_sample;
	push @missing, "$key->{section}.$key->{name}: not in the manual" unless defined $of_man;
	s/\n# / /g for grep { defined } $of_sample;
	for my $say ([LATER => $key->{effect}, qr/NOT IN EFFECT YET/, qr/Not in effect yet/], [START => $key->{when}, qr/Changed by a restart/, qr/Changed by a restart/]) {
		my ($word, $is, $in_sample, $in_man) = @$say;
		push @missing, "$key->{section}.$key->{name}: $word" if ($is eq $word) != (($of_sample // '') =~ $in_sample)
			|| ($is eq $word) != (($of_man // '') =~ $in_man);
	}
	push @missing, "$key->{section}.$key->{name}: alias" if $key->{alias} && (($of_sample // '') . "\0" . ($of_man // '')) !~ /\b$key->{alias}\b.*\0.*\b$key->{alias}\b/s;
}
is("@missing", '', 'each is in the sample and in the manual, with its name, alias, and marks');

cmp_ok((sort { $b <=> $a } map { length } split /\n/, $text{'velador.ini.sample'})[0], '<=', 198, 'no line of the sample is too long for inih');
for my $page (qw(velador.8 velador.ini.5 veladorctl.8)) {
	my $man = slurp("$top/ini/$page");
	like($man, qr/^\.Sh NAME\n\.Nm \S+\n\.Nd /m, "$page has a name");
	SKIP: {
		skip('no groff', 1) if system('command -v groff >/dev/null');
		is(`groff -mandoc -Tascii -ww $top/ini/$page 2>&1 >/dev/null`, '', 'and is well formed');
	}
}
my $ctl = slurp("$top/ini/veladorctl.8");
like($ctl, qr/^\.It Cm $_\b/m, "veladorctl.8: $_") for qw(status calls call gateways endpoints stats hangup reload check quarantine events);
my $daemon = slurp("$top/ini/velador.8");
like($daemon, qr/^\.It Fl \Q$_\E/m, "velador.8: $_") for qw(c o t -print-sample -print-man -version);

done_testing();
