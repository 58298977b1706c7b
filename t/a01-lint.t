# SPDX-License-Identifier: GPL-2.0-or-later
# What the tree promises about itself: licence lines, layers, lengths, no leftovers.
use strict;
use warnings;
use File::Find;
use Test::More;
use Velador qw(slurp source_dir);

my $top = source_dir();
my %text;    # path => contents, for everything that people wrote
find({ no_chdir => 1, preprocess => sub { grep { !/^(?:\.git|build|build-aux|autom4te\.cache|corpus|torture)$/ } @_ }, wanted => sub {
	my $path = s/^\Q$top\E\///r;
	$text{$path} = slurp($_) if -f && (/\.(?:c|h|def|t|pm|xml|ini|sh|cfg|ac|am)$/ || m{/(?:contrib|\.ci|t/bench)/[\w-]+$});
} }, map { "$top/$_" } grep { -e "$top/$_" } qw(src shm ini t contrib .ci Makefile.am configure.ac));
my @c = sort grep { /\.[ch]$/ } keys %text;
cmp_ok(scalar(@c), '>', 50, scalar(keys %text) . ' files, ' . @c . ' of them C');

sub none_ok {
	my ($title, @found) = @_;
	return ok(!@found, $title) || diag(join "\n", @found > 20 ? (@found[0 .. 19], 'and more') : @found);
}
# "path:line: text" of every line that a pattern finds in these files.
sub lines_with {
	my ($pattern, @files) = @_;
	my @found;
	for my $file (@files) {
		my $n = 0;
		for (split /\n/, $text{$file}) {
			$n++;
			push @found, "$file:$n: $_" if /$pattern/;
		}
	}
	return @found;
}

none_ok('every file names its licence', grep { join("\n", (split /\n/, $text{$_})[0 .. 3]) !~ /SPDX-License-Identifier: GPL-2\.0-or-later/ } sort grep { !/\.ini$|README$/ } keys %text);

# proc -> {call, route, net} -> txn -> sip -> base; shm and ini include only base, and whoever keeps state may use them.
my %may = (
	base => [],
	shm  => ['base'],
	ini  => ['base'],
	sip  => ['base'],
	txn  => [qw(base sip shm ini)],
	net  => [qw(base shm)],
	route => [qw(base sip shm ini)],
	call => [qw(base sip txn route shm ini)],
	proc => [qw(base sip txn route shm ini call net)],
);
my @upward;
for my $file (grep { m{^(?:src/\w+|shm|ini)/[^/]+\.[ch]$} } @c) {
	my ($layer) = $file =~ m{^(?:src/)?(\w+)/};
	for my $header ($text{$file} =~ /^\s*#\s*include\s+"([^"]+)"/mg) {
		my ($of) = $header =~ m{^(\w+)/};
		push @upward, "$file includes $header" if defined $of && $of ne $layer && !grep { $_ eq $of } @{ $may{$layer} };
	}
}
none_ok('includes point down only', @upward);
none_ok('lower layers never log', lines_with(qr/\b(?:printf|perror|syslog|log_\w+)\s*\(/, grep { m{^(?:shm|src/(?:base|sip|txn|call|route|net))/.*\.c$} } @c));

none_ok('no paths of somebody\'s machine', lines_with(qr{/(?:work|home/\w+|root)/}, grep { $_ ne 't/a01-lint.t' } keys %text));
my $leftover = join '|', map { join '', @$_ } ['TO', 'DO'], ['FIX', 'ME'], ['X', 'XX'];
none_ok('nothing left for later', lines_with(qr/\b(?:$leftover)\b/, keys %text));
none_ok('no // comments', lines_with(qr{(?:^|[\s;{}])//(?!.*["*])}, grep { /\.(?:c|h|def)$/ } keys %text));
none_ok('no blank at the end of a line', lines_with(qr/[ \t]$/, grep { !/\.ini$/ } keys %text));
none_ok('tests wait for conditions, not for a time', lines_with(qr/\b(?:sleep|usleep)\s*[( ]\s*\d/, grep { m{^t/.*\.(?:t|pm|c)$} && $_ ne 't/a01-lint.t' } keys %text));

# Lengths: a guide with some slack; a function is what stands between a line "{" and a line "}".
my @long_files = grep { ($text{$_} =~ tr/\n//) > 500 } @c;
my (@long_functions, @lengths);
for my $file (grep { m{^(?:src|shm|ini)/.*\.c$} } @c) {
	my ($n, $begin, $name) = (0);
	for (split /\n/, $text{$file}) {
		$n++;
		$name = $1 if /^\w.*?(\w+)\(/;
		$begin = $n if /^\{/;
		next unless /^\}/ && $begin;
		push @lengths, $n - $begin - 1;
		push @long_functions, "$file: $name: $lengths[-1] lines" if $lengths[-1] > 60;
		undef $begin;
	}
}
@lengths = sort { $a <=> $b } @lengths;
none_ok('no source file over 500 lines', @long_files);
none_ok('no function over 60 lines', @long_functions);
note(sprintf '%d functions: median %d lines, 90th percentile %d', scalar(@lengths), @lengths[$#lengths / 2, $#lengths * 0.9]) if @lengths;

# Every test title that proves a section names it the same way.
none_ok('RFC sections in titles: RFC3261-17.1', lines_with(qr/'RFC ?\d{4}(?!-\d)/, grep { m{^t/c.*\.t$} } keys %text));
none_ok('tests are named letter, number, subject', grep { m{^t/[^/]+\.t$} && !m{^t/[abcdefr]\d\d-[\w-]+\.t$} } keys %text);
done_testing;
