"""The commands that `bench/sameness.py` types, in phases: a line each, `name | words`, in chains that run in order."""

TRAIN = "train features/plain --data data --device cpu --run"
EXTRACT = "extract data --device cpu --size 64x96 --workers 1 --out features"
TWO = "--match match-01 --match match-06"
FAST = "--preset fast --set n_epochs=1 --set warmup_epochs=0.5"
SPOTS = "runs/best/predictions/test"
SCORE = "--data data --split test --block 10 --resamples 100"
FINETUNE = "finetune data --device cpu --weights random:0 --size 64x96 --set n_epochs=1 --set warmup_epochs=0.5"
SWEEP = """preset = "fast"
seeds = 2
[set]
n_epochs = 2
[axes]
temporal_stride = [1, 2]
"""
HEADS = """preset = "fast"
seeds = 1
[set]
n_epochs = 1
warmup_epochs = 0.5
[[cases]]
kind = "transformer"
positions = "rotary"
teams = "labels"
[[cases]]
kind = "multires"
class_loss = "sigmoid"
sampling = "near-actions"
[[cases]]
kind = "gru"
scaling = "train"
offset_loss = "huber"
index_jitter = 0.2
[[cases]]
kind = "tdeed"
sam_rho = 0.05
label_sd = 1.0
sampling = "class-balanced"
"""
# A step is NAME | COMMAND, an indented line goes on with it. A blank line parts chains, which run two at a time; each
# uses what the phases before left and what its own steps made. A name that ends in * is of a command whose processes
# print in no fixed order.
STORES = f"""
plain* | {EXTRACT} --set plain --backbone regnety_002 --weights random:0 --stride 2
pca | cache pca features/plain --dim 32 --data data --set pca
pca-refit | cache pca features/plain --fit features/pca/pca.safetensors --set refit

small* | {EXTRACT} --set small --backbone regnety_002 --weights random:1 --stride 4 --size 32x48 --views original,hflip
lite | {EXTRACT} --set lite --backbone tf_efficientnet_lite0 --weights offline --stride 10 {TWO}
gsf | {EXTRACT} --set gsf --backbone regnety_002+gsf --weights random:0 --stride 10 {TWO}
grid | {EXTRACT} --set grid --weights random:0 --grid 2x3 --stride 25 {TWO}
mixed | {EXTRACT} --weights random --dtype int8 --layers s3,s4 --views original,hflip,photo:1 --stride 25 {TWO}
decord | {EXTRACT} --set decord --weights random:0 --dtype float32 --decoder decord --stride 50 {TWO}
"""
RUNS = f"""
best | {TRAIN} runs/best --set n_epochs=3
best-again | {TRAIN} runs/best --set n_epochs=3
bundle | export runs/best --format bundle --out bundles/best.ballspot
predict-train | predict runs/best features/plain --data data --split train --out mistakes --device cpu
mistakes | {TRAIN} runs/hard {FAST} --set sampling=hard-negatives --mistakes mistakes
original-fixed | {TRAIN} runs/original-fixed --preset original-fixed --set n_epochs=2 --set warmup_epochs=1
    --set epoch_frames=5000
two-sets | {TRAIN} runs/two --features features/pca {FAST} --set teams=head
leave-out | {TRAIN} runs/left-out {FAST} --leave-out match-03 --shuffle-labels

tcn | {TRAIN} runs/tcn --head tcn --set n_epochs=3
seeds | train features/pca --data data --device cpu --run runs/seeds --preset fast --seeds 2 --set n_epochs=2
bundle-pca | export runs/seeds/seed-0 --with-run runs/seeds/seed-1 --format bundle --with-backbone
    --out bundles/pca.ballspot
original | {TRAIN} runs/original --preset original --set n_epochs=1 --set warmup_epochs=0.5 --set epoch_frames=3000
flip | train features/small --data data --device cpu --run runs/flip --preset fast --set n_epochs=2
    --set clip_stride=4 --set 'views=["original", "hflip"]' --set flip_average=true
sweep* | sweep sweep.toml features/plain --data data --out runs/sweep --jobs 2 --device cpu
heads | sweep heads.toml features/plain --data data --out runs/heads --jobs 1 --device cpu

tuned | {FINETUNE} --out runs/tuned --backbone regnety_002+gsf --set clip_stride=4 --set epoch_frames=400
tuned-extract | {EXTRACT} --set tuned --weights runs/tuned --match match-05 --match match-06

frozen | {FINETUNE} --out runs/frozen --backbone regnety_002 --set clip_stride=4 --set epoch_frames=400
    --freeze stem,s1,s2 --set norms=frozen --set accumulate=2 --set copies=2 --set layer_decay=0.8
"""
PREDICTIONS = """
predict-best | predict runs/best features/plain --data data --device cpu
predict-together | predict runs/best features/plain --data data --with runs/tcn --out predictions/together --device cpu
predict-seeds | predict runs/seeds features/pca --data data --split all --out predictions/seeds --device cpu
predict-flip | predict runs/flip features/small --data data --device cpu
predict-two | predict runs/two features/plain --features features/pca --data data --device cpu --checkpoint last
predict-bundle | predict bundles/pca.ballspot features/pca --data data --device cpu --out predictions/bundle

predict-video | predict runs/best data/gfootball/2026/match-06/224p.mp4 --out predictions/video --device cpu
predict-fixed | predict runs/original-fixed features/plain --data data --device cpu
predict-original | predict runs/original features/plain --data data --device cpu
predict-tcn | predict runs/tcn features/plain --data data --device cpu
predict-short-flip | predict runs/flip short.ts --out predictions/short-flip --device cpu --keep-features kept
predict-short-bundle | predict bundles/pca.ballspot short.ts --out predictions/short-bundle --device cpu
predict-short-tuned | predict runs/tuned short.ts --out predictions/short-tuned --device cpu
predict-live | predict runs/original-fixed short.ts --live --json --idle 1 --warm-up 4 --threshold 0.05 --device cpu
"""
READINGS = f"""
check | data check data
check-json | data check data --json
stats | data stats data
stats-json | data stats data --json --leave-out match-02
info | cache info features/plain/gfootball/2026/match-01.h5
info-json | cache info features/small/gfootball/2026/match-01.h5 --json
list | cache list features
list-json | cache list features --json
verify | cache verify features
verify-json | cache verify features/pca --json
verify-deep | cache verify features/grid --deep --data data --chunks 1 --json
remove | cache remove features/refit --yes
synth | data synth drawn --matches 2 --minutes 0.05 --size 64x96
to-v2 | data convert data converted/v2 --from labels-ball --to labels-v2
to-osl | data convert data converted/osl.json --from labels-ball --to osl
to-e2e | data convert data converted/e2e.json --from labels-ball --to e2e-spot
to-csv | data convert {SPOTS} converted/spots.csv --from spots --to csv
to-spots | data convert converted/spots.csv converted/spots --from csv --to spots
to-soccertrack | data convert data converted/soccertrack --from labels-ball --to soccertrack-v2
from-e2e | data convert converted/e2e.json converted/ball --from e2e-spot --to labels-ball

zip | export {SPOTS} --out exports/spots.zip
sportscode | export {SPOTS} --format sportscode --threshold 0.1 --out exports/sportscode
vtt | export {SPOTS} --format vtt --threshold 0.1 --out exports/vtt
srt | export {SPOTS} --format srt --threshold 0.1 --classes PASS,DRIVE --out exports/srt
chapters | export {SPOTS} --format chapters --threshold 0.1 --before 2 --after 1 --out exports/chapters
youtube | export {SPOTS} --format youtube --threshold 0.1 --match match-06 --out exports/youtube
csv | export {SPOTS} --format csv --threshold 0.05 --data data --split test --out exports/csv
csv-team | export runs/two/predictions/test --format csv --threshold 0.05 --team left --out exports/csv-team
onnx | export runs/original-fixed --format onnx --out exports/head.onnx
card | export runs/best --format card --out exports/card.md
clips-keyframe | clips {SPOTS} --data data --threshold 0.1 --limit 1 --before 1 --after 1 --out exports/clips
clips-exact | clips {SPOTS} --data data --classes PASS --limit 1 --threshold 0.1 --before 1 --after 1
    --cut exact --out exports/exact
sheet | sheet {SPOTS} --data data --split test --classes PASS,DRIVE --out exports/sheet.png

tune | tune runs/best --data data --min-count 3 --out tuned.json
tune-json | tune runs/original-fixed --data data --json --out tuned-fixed.json
tune-apply | tune runs/best --data data --out tuned-again.json --apply {SPOTS} --to predictions/applied
predict-tuned | predict runs/best features/plain --data data --tuned tuned.json --out predictions/tuned --device cpu
probe | probe features/pca --data data --json --split test
evaluate | evaluate {SPOTS} {SCORE} --diagnose --plots plots
evaluate-json | evaluate {SPOTS} {SCORE} --diagnose --json
evaluate-against | evaluate {SPOTS} {SCORE} --against runs/tcn/predictions/test --json --metric tight
evaluate-tolerance | evaluate runs/tcn/predictions/test {SCORE} --tolerance 3 --against {SPOTS}
evaluate-zip | evaluate exports-theirs.zip {SCORE} --json --fps 12.5
compare | compare runs/original-fixed runs/best runs/tcn --block 10 --resamples 100
compare-json | compare runs/original-fixed runs/best runs/tcn --split test --format json --block 10 --resamples 100
compare-sweep | compare runs/sweep --format json --block 10 --resamples 100
compare-heads | compare runs/heads --format markdown --block 10 --resamples 100
compare-latex | compare runs/sweep --format latex --block 10 --resamples 100
compare-csv | compare runs/sweep runs/tuned --format csv --block 10 --resamples 100
report | compare runs/sweep --report report.html --block 10 --resamples 100
"""
WRONG = f"""
other-run | {TRAIN} runs/best --seed 1
no-key | {TRAIN} runs/wrong --set n_epoch=3
no-value | {TRAIN} runs/wrong --set n_epochs=three
no-head | {TRAIN} runs/wrong --head transfomer
other-features | predict runs/best features/pca --data data
no-weights | extract data --out wrong --weights rnadom
no-size | extract data --out wrong --weights random --size 224
no-finetune-key | {FINETUNE} --out runs/wrong --backbone regnety_002 --set scaling=match

no-data | data check dtaa
no-run | predict runs/bst features/plain --data data
run-for-spots | evaluate runs/best --data data
runs-for-run | compare runs
no-sweep | sweep experiment2 features/plain --data data --out runs/wrong
no-class | export {SPOTS} --format csv --classes GAOL --out wrong
no-labels | evaluate {SPOTS} --data data --labels ball12
no-command | evalute {SPOTS} --data data
is-there | export runs/best --format card --out exports/card.md
is-a-run | export runs/best --format csv --out wrong
broken-store | cache verify broken
version | --version
"""
PHASES = {"stores": STORES, "runs": RUNS, "predictions": PREDICTIONS, "readings": READINGS, "wrong": WRONG}
MAKING = ("stores", "runs")  # what --reuse takes from an earlier recording
