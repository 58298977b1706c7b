# SPDX-License-Identifier: GPL-2.0-or-later
# The simulator over some thousand seeds: calls, deaths, losses in virtual time, and after every step what must hold (t/sim/README).
# VELADOR_SEEDS=A-B runs others.
use strict;
use warnings;
use Test::More;
use Velador qw(build_dir);

my $program = build_dir() . '/t/sim-run';
-x $program or plan skip_all => "$program is not built";
my ($first, $last) = ($ENV{VELADOR_SEEDS} // '1-2000') =~ /^(\d+)-(\d+)$/ or die "VELADOR_SEEDS=A-B\n";
my $middle = int(($first + $last) / 2);

# Both halves at once.
my @half;
for my $range ("$first-$middle", $middle + 1 . "-$last") {
	open my $out, '-|', $program, '--seeds', $range or die "$program: $!\n";
	push @half, [$range, $out];
}
for (@half) {
	my ($range, $out) = @$_;
	my $text = join '', <$out>;
	close $out;
	is($?, 0, "every invariant holds, seeds $range") or diag $text, "see it again: t/sim-run --seed N --verbose";
	note $text;
	my ($kills) = $text =~ /(\d+) kills/;
	cmp_ok($kills // 0, '>', $last - $first, 'and not for want of deaths');
	for ([refreshes => 10], [PRACKs => 1], ['fell silent' => 1]) {
		my ($what, $least) = @$_;
		my ($n) = $text =~ /(\d+) $what/;
		cmp_ok($n // 0, '>', $least * ($last - $first) / 2, "nor of $what");
	}
}

# The same seed is the same run, to the last byte sent.
for my $seed ($first .. $first + 4) {
	my ($one, $two) = map { scalar qx($program --seed $seed --verbose) } 1, 2;
	ok($one eq $two && length $one > 1000, "seed $seed replays exactly");
}
done_testing;
